//! The kernel's balancer, over generic netlink.
