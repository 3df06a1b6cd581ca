//! Less of an input that breaks something: what is left is what matters.

/// Tries at most, so that a slow target does not keep anybody waiting.
const TRIES: usize = 4000;

/// The smallest input found that `breaks` as this one does: pieces are left out, then bytes made 0.
pub(crate) fn smaller(input: &[u8], mut breaks: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut best = input.to_vec();
    let mut tries = TRIES;
    let mut better = |candidate: &[u8], tries: &mut usize| {
        *tries = tries.saturating_sub(1);
        *tries > 0 && breaks(candidate)
    };
    let mut piece = best.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at < best.len() {
            let end = (at + piece).min(best.len());
            let mut candidate = best.clone();
            candidate.drain(at..end);
            if better(&candidate, &mut tries) {
                best = candidate;
            } else {
                at = end;
            }
        }
        piece /= 2;
    }
    for at in 0..best.len() {
        let mut candidate = best.clone();
        match candidate.get_mut(at) {
            Some(byte) if *byte != 0 => *byte = 0,
            _ => continue,
        }
        if better(&candidate, &mut tries) {
            best = candidate;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matters_is_left() {
        let input: Vec<u8> = (0..100).collect();
        let least = smaller(&input, |bytes| bytes.windows(2).any(|two| two == [41, 42]));
        assert_eq!(least, [41, 42]);
        let least = smaller(&input, |bytes| bytes.len() >= 3);
        assert_eq!(least, [0, 0, 0]);
    }
}
