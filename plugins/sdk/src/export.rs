//! What is between the exported functions and the traits. Only the macros are for authors.
//!
//! The host calls functions and not methods, so the instance lies in a static ([`Instance`], made by the macro, since it
//! is of the plugin's own type). Before `configure` there is none, and questions get the host's defaults.

mod agent_check;
mod dns_answers;
mod scheduler;

#[cfg(target_arch = "wasm32")]
pub use scheduler::HostLoad;

use std::cell::RefCell;
use std::marker::PhantomData;
use std::thread::LocalKey;

use crate::bindings::exports::weir::policy::lifecycle;
use crate::{ConfigError, Description, Plugin};

/// The place of the instance that `configure` made. A module has one thread, so this is a plain static there.
pub trait Instance: Plugin {
    /// The place itself.
    const PLACE: &'static LocalKey<RefCell<Option<Self>>>;

    /// Asks the instance, if there is one.
    fn ask<R>(question: impl FnOnce(&mut Self) -> R) -> Option<R> {
        Self::PLACE.with_borrow_mut(|instance| instance.as_mut().map(question))
    }
}

/// The functions that the host calls, over a plugin's traits.
#[derive(Debug)]
pub struct Exported<T>(PhantomData<T>);

impl<T: Instance> lifecycle::Guest for Exported<T> {
    fn describe() -> Description {
        T::describe()
    }

    fn configure(config: String) -> Result<(), ConfigError> {
        report_panics();
        let instance = T::configure(&config)?;
        T::PLACE.with_borrow_mut(|place| *place = Some(instance));
        Ok(())
    }
}

/// A panic ends in an instruction that only says "unreachable": its message goes to the host's log before.
fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| {
        crate::log::write(crate::log::Level::Error, &panic.to_string());
    }));
}

/// Puts the place of the instance and the functions of some interfaces into the plugin, and the type of its world.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($type:ty, $world:literal, $section:ident, $($interface:ident: $macro:ident),+) => {
        const _: () = {
            ::std::thread_local! {
                static PLACE: ::core::cell::RefCell<::core::option::Option<$type>> =
                    const { ::core::cell::RefCell::new(::core::option::Option::None) };
            }

            impl $crate::export::Instance for $type {
                const PLACE: &'static ::std::thread::LocalKey<
                    ::core::cell::RefCell<::core::option::Option<Self>>,
                > = &PLACE;
            }

            // Only there: a native program that links two plugins would have each function twice.
            #[cfg(target_arch = "wasm32")]
            const _: () = {
                type Exports = $crate::export::Exported<$type>;
                $(
                    $crate::$macro!(
                        Exports with_types_in $crate::bindings::exports::weir::policy::$interface
                    );
                )+

                #[unsafe(link_section = ::core::concat!("component-type:weir:policy:", $world))]
                static WORLD: [u8; $crate::bindings::section::$section.len()] =
                    *$crate::bindings::section::$section.first_chunk().unwrap();
            };
        };
    };
}
