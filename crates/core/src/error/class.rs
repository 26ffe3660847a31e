//! The table of refusals: whose fault each kind is, whether to retry, and what each API answers.
//!
//! HTTP statuses, Connect codes, E2B's bodies and the command line's exit codes are all read from here.

/// Whose action ends a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The caller: it changes the request, waits, or closes something.
    Caller,
    /// The operator: the configuration or the rules have to change.
    Operator,
    /// A tier, its provider or the load of this server.
    Provider,
}

/// Whether the same request may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// After a pause, which the refusal states.
    Later,
    /// At any time: nothing ran that had effects outside.
    AtOnce,
    /// After the caller or the operator has changed something. The refusal says what.
    AfterChange,
    /// At the caller's risk: the program may have run, and would run twice.
    MayRunTwice,
}

/// How E2B's interpreter answers a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellForm {
    /// As an HTTP status.
    Status,
    /// As an exception of the cell: repeating the call does not help, and an agent reads exceptions.
    Exception,
}

/// What the E2B API answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct E2bClass {
    /// HTTP status of the control plane and of the interpreter.
    pub status: u16,
    /// HTTP status of envd. E2B's clients read 502 and 503 there as a sandbox that is gone.
    pub envd_status: u16,
    /// Code of envd's remote calls, as the Connect protocol spells it.
    pub connect: &'static str,
    /// Name of the exception in a cell.
    pub exception: &'static str,
    pub form: CellForm,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorClass {
    /// One word for records and metrics.
    pub name: &'static str,
    /// The last part of the problem's URN. It is API: it never changes and never gets another meaning.
    pub slug: &'static str,
    /// The problem's title.
    pub title: &'static str,
    pub party: Party,
    pub retry: Retry,
    /// HTTP status of the native API.
    pub status: u16,
    /// Exit code of the command line.
    pub exit_code: u8,
    pub e2b: E2bClass,
}

/// The kinds of [`Error`](super::Error).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Quota,
    Overloaded,
    Invalid,
    NoTier,
    Unavailable,
    Lost,
    TimedOut,
    Gone,
    NoSpace,
    Rules,
    LimitReached,
    NotMovable,
    Unsupported,
    Conflict,
}

impl Kind {
    pub const ALL: [Self; 14] = [
        Self::Quota,
        Self::Overloaded,
        Self::Invalid,
        Self::NoTier,
        Self::Unavailable,
        Self::Lost,
        Self::TimedOut,
        Self::Gone,
        Self::NoSpace,
        Self::Rules,
        Self::LimitReached,
        Self::NotMovable,
        Self::Unsupported,
        Self::Conflict,
    ];

    /// Returns the row of this kind.
    #[rustfmt::skip]
    pub const fn class(self) -> ErrorClass {
        use CellForm::{Exception, Status};
        use Party::{Caller, Operator, Provider};
        use Retry::{AfterChange, AtOnce, Later, MayRunTwice};

        match self {
            Self::Quota => ErrorClass {
                name: "quota", slug: "quota", title: "Rate limit exceeded",
                party: Caller, retry: Later, status: 429, exit_code: 125,
                e2b: e2b(429, 429, "resource_exhausted", "SandboxQuotaError", Status),
            },
            Self::Overloaded => ErrorClass {
                name: "overloaded", slug: "overloaded", title: "Server overloaded",
                party: Provider, retry: Later, status: 503, exit_code: 125,
                e2b: e2b(503, 429, "resource_exhausted", "SandboxUnavailableError", Status),
            },
            Self::Invalid => ErrorClass {
                name: "invalid", slug: "invalid", title: "Invalid field value",
                party: Caller, retry: AfterChange, status: 422, exit_code: 2,
                e2b: e2b(400, 400, "invalid_argument", "SandboxCapabilityError", Status),
            },
            Self::NoTier => ErrorClass {
                name: "no_tier", slug: "no-tier", title: "No tier can run this program",
                party: Operator, retry: AfterChange, status: 422, exit_code: 126,
                e2b: e2b(422, 500, "permission_denied", "SandboxCapabilityError", Exception),
            },
            Self::Unavailable => ErrorClass {
                name: "unavailable", slug: "unavailable", title: "No tier is available",
                party: Provider, retry: Later, status: 503, exit_code: 125,
                e2b: e2b(503, 500, "internal", "SandboxUnavailableError", Status),
            },
            Self::Lost => ErrorClass {
                name: "lost", slug: "lost", title: "The program may have run; its outcome is unknown",
                party: Provider, retry: MayRunTwice, status: 502, exit_code: 125,
                e2b: e2b(500, 500, "internal", "SandboxLostError", Exception),
            },
            Self::TimedOut => ErrorClass {
                name: "deadline", slug: "timed-out", title: "The timeout passed before the program ran to its end",
                party: Provider, retry: AtOnce, status: 504, exit_code: 124,
                e2b: e2b(504, 504, "deadline_exceeded", "SandboxTimeoutError", Status),
            },
            Self::Gone => ErrorClass {
                name: "gone", slug: "gone", title: "Session ended",
                party: Caller, retry: AfterChange, status: 410, exit_code: 125,
                e2b: e2b(404, 500, "internal", "SandboxUnavailableError", Status),
            },
            Self::NoSpace => ErrorClass {
                name: "no_space", slug: "no-space", title: "No space left for this caller",
                party: Caller, retry: AfterChange, status: 507, exit_code: 125,
                e2b: e2b(507, 507, "resource_exhausted", "OSError", Exception),
            },
            Self::Rules => ErrorClass {
                name: "rules", slug: "internal", title: "Internal server error",
                party: Operator, retry: AfterChange, status: 500, exit_code: 125,
                e2b: e2b(500, 500, "internal", "SandboxUnavailableError", Status),
            },
            Self::LimitReached => ErrorClass {
                name: "limit_reached", slug: "limit-reached", title: "Limit reached",
                party: Caller, retry: AfterChange, status: 429, exit_code: 125,
                e2b: e2b(429, 429, "resource_exhausted", "SandboxLimitError", Status),
            },
            Self::NotMovable => ErrorClass {
                name: "not_movable", slug: "not-movable", title: "The session cannot be moved",
                party: Caller, retry: AfterChange, status: 409, exit_code: 125,
                e2b: e2b(409, 409, "failed_precondition", "SandboxStateError", Exception),
            },
            Self::Unsupported => ErrorClass {
                name: "unsupported", slug: "unsupported", title: "Not supported here",
                party: Operator, retry: AfterChange, status: 501, exit_code: 126,
                e2b: e2b(501, 501, "unimplemented", "SandboxCapabilityError", Exception),
            },
            Self::Conflict => ErrorClass {
                name: "conflict", slug: "conflict", title: "Not possible in the present state",
                party: Caller, retry: AfterChange, status: 409, exit_code: 125,
                e2b: e2b(409, 409, "failed_precondition", "SandboxStateError", Status),
            },
        }
    }
}

const fn e2b(
    status: u16,
    envd_status: u16,
    connect: &'static str,
    exception: &'static str,
    form: CellForm,
) -> E2bClass {
    E2bClass { status, envd_status, connect, exception, form }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_urns_tell_all_kinds_apart() {
        let names: BTreeSet<_> = Kind::ALL.map(|kind| kind.class().name).into();
        let slugs: BTreeSet<_> = Kind::ALL.map(|kind| kind.class().slug).into();
        assert_eq!((names.len(), slugs.len()), (Kind::ALL.len(), Kind::ALL.len()));
    }

    #[test]
    fn a_kind_to_retry_has_a_status_that_clients_retry() {
        for kind in Kind::ALL {
            let class = kind.class();
            let passes = matches!(class.status, 429 | 503);
            assert!(class.retry != Retry::Later || passes, "{kind:?}");
            assert!(class.party == Party::Caller || class.status >= 500 || kind == Kind::NoTier, "{kind:?}");
        }
    }
}
