//! What can be wrong with a specification or an image, said so that the caller can mend it.

/// A value that cannot be used. The text names the parameter, the value and what is accepted.
///
/// ```
/// use unblot_core::{Error, Plan, Spec};
///
/// let error = Plan::new(Spec { p: 2.0, ..Spec::default() }).unwrap_err();
/// assert!(matches!(&error, Error::Parameter { name: "p", .. }));
/// assert!(error.to_string().starts_with("p 2 is not accepted: "));
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A parameter of the specification is out of its range or contradicts another.
    #[error("{name} {value} is not accepted: {remedy}")]
    Parameter {
        /// Name of the field, after the kind of noise where it belongs to one.
        name: &'static str,
        /// The value given.
        value: String,
        /// What is accepted instead.
        remedy: String,
    },
    /// The specification is valid but does not fit this image.
    #[error("{0}")]
    Image(String),
    /// The caller asked for an end; no pixel has changed.
    #[error("stopped before any pixel changed")]
    Stopped,
}

impl Error {
    #[allow(clippy::needless_pass_by_value)] // takes literals and formatted strings alike
    pub(crate) fn parameter(name: &'static str, value: impl std::fmt::Display, remedy: impl Into<String>) -> Self {
        Self::Parameter { name, value: format!("{value}"), remedy: remedy.into() }
    }
}
