//! Rules of health checks, wherever one stands.

use super::Rules;
use crate::config::source::Step;
use crate::config::{Check, CheckType, Period};
use crate::health::MIN_INTERVAL;

/// `path` is that of the check's table.
pub(super) fn check(path: &[Step<'_>], check: &Check, rules: &mut Rules<'_, '_, '_>) {
    let field =
        |field: &'static str| -> Vec<Step<'_>> { path.iter().copied().chain([Step::from(field)]).collect() };
    if check.kind == CheckType::Tcp {
        for only_http in ["path", "host", "expect"] {
            if rules.source.has(&field(only_http)) {
                let message = format!(
                    "`{only_http}` means nothing to a check of type \"tcp\": take it out, or write type = \"http\""
                );
                rules.key(&field(only_http), message);
            }
        }
    }
    if let Some(host) = &check.host {
        let fits = (1..=255).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_graphic());
        if !fits {
            rules.value(
                &field("host"),
                format!("`{host}` is no host name: 1 to 255 plain letters without space"),
            );
        }
    }
    not_a_loop(&field("interval"), check.interval, rules);
    if let Some(fast) = check.fast_interval {
        not_a_loop(&field("fast-interval"), fast, rules);
        if fast > check.interval {
            let message =
                format!("the fast interval, {fast}, is longer than the interval, {}", check.interval);
            rules.value(&field("fast-interval"), message);
        }
    }
    match check.timeout {
        Some(Period::ZERO) => {
            rules.value(
                &field("timeout"),
                "a timeout of zero fails every check: write a time such as \"1s\"".to_owned(),
            );
        }
        Some(timeout) if timeout > check.interval => {
            let message = format!(
                "the timeout, {timeout}, is longer than the interval, {}: the next check would begin before this one ended",
                check.interval
            );
            rules.value(&field("timeout"), message);
        }
        _ => {}
    }
}

/// The time between checks, or questions to an agent, at `path`.
pub(super) fn not_a_loop(path: &[Step<'_>], interval: Period, rules: &mut Rules<'_, '_, '_>) {
    if *interval < MIN_INTERVAL {
        let message =
            format!("{interval} between checks is a load test: at least {}ms", MIN_INTERVAL.as_millis());
        rules.value(path, message);
    }
}
