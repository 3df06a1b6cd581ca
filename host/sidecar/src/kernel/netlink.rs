//! A generic netlink socket: requests, answers, dumps.
