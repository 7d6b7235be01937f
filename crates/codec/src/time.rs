//! Units of time that clients send, and how numbers and text become microseconds.

/// The unit of integer timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 1e-9 s
    #[default]
    Nanosecond,
    /// 1e-6 s
    Microsecond,
    /// 1e-3 s
    Millisecond,
    /// 1 s
    Second,
    /// 60 s
    Minute,
    /// 3600 s
    Hour,
    /// By magnitude: below 1e10 s, 1e13 ms, 1e16 µs, else ns.
    Auto,
}
