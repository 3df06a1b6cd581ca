//! The BGP speaker: sockets, bytes and clock around `weir_core::bgp` and `weir_core::bfd`.
