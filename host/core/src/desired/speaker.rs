//! What the speaker shall say to whom, and what became of it.
