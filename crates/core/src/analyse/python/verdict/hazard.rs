//! Values that differ between processes, and the usages in which the difference cannot reach the output.

/// A kind of value whose order or text differs between processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hazard {
    /// A set: its order depends on hashes.
    Set,
    /// An iterator: its text is an address.
    Iterator,
    /// A function: its text is an address, but it may be called.
    Function,
    /// An object whose text is an address, with methods that may be called.
    Opaque,
    /// The groups or windows of a table: their text is an address, but their methods and elements may be used.
    Group,
    /// An accessor of a table (`loc`, `str`): its text is an address, but its methods and elements may be used.
    Accessor,
    /// An attribute that is data of a table but a method of a list, whose text is an address.
    PossibleMethod,
    /// The result of `super()`: its text is an address, its methods are the program's own.
    SuperProxy,
    /// The class of an object: its text is a name, but its attributes differ from those of its instances, and its own
    /// class creates classes.
    ClassObject,
}

impl Hazard {
    /// Returns whether this usage reveals neither order nor text.
    pub(super) fn is_safe_as(self, usage: Usage) -> bool {
        match self {
            Self::Set => matches!(
                usage,
                Usage::Bound | Usage::OrderIndependent | Usage::SetReceiver | Usage::SetOrObjectReceiver
            ),
            Self::Iterator => matches!(usage, Usage::Bound | Usage::OrderIndependent | Usage::Consumed),
            Self::Function => matches!(usage, Usage::Bound | Usage::Callback | Usage::Callee),
            Self::Opaque => matches!(usage, Usage::Bound | Usage::ObjectReceiver | Usage::SetOrObjectReceiver),
            Self::ClassObject => matches!(usage, Usage::OrderIndependent | Usage::Type | Usage::Formatted),
            Self::SuperProxy => matches!(usage, Usage::AttributeBase) || usage.is_receiver(),
            Self::Group => {
                matches!(usage, Usage::Bound | Usage::Consumed | Usage::OrderIndependent) || usage.is_receiver()
            }
            Self::Accessor => matches!(usage, Usage::Subscripted) || usage.is_receiver(),
            Self::PossibleMethod => {
                matches!(
                    usage,
                    Usage::Bound
                        | Usage::Consumed
                        | Usage::OrderIndependent
                        | Usage::Subscripted
                        | Usage::Operand
                        | Usage::AttributeBase
                ) || usage.is_receiver()
            }
        }
    }

    /// Returns the reason for rejecting a program in which the hazard may reach the output.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Set => "the order of a set differs between processes",
            Self::Iterator => "an iterator is used where its address could be printed",
            Self::Function => "a function is used where its address could be printed",
            Self::PossibleMethod => "an attribute that may be a method is used where its address could be printed",
            Self::ClassObject => "the class of an object is used for more than its name",
            Self::Opaque | Self::SuperProxy | Self::Group | Self::Accessor => {
                "an object is used where its address could be printed"
            }
        }
    }
}

/// How the value of an expression is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// In any way: it may be printed, stored or returned.
    Unrestricted,
    /// It is only converted to text.
    Formatted,
    /// It is bound to a single name, whose usages are checked.
    Bound,
    /// Its elements are read in order, and the value itself is discarded.
    Consumed,
    /// Only properties that do not depend on the order are read: membership, length, truth.
    OrderIndependent,
    /// A method is called on it that does not reveal the order of a set.
    SetReceiver,
    /// A method is called on it that does not reveal the address of an object.
    ObjectReceiver,
    /// A method is called on it that reveals neither.
    SetOrObjectReceiver,
    /// Any other method is called on it.
    OtherReceiver,
    /// An attribute of it is read.
    AttributeBase,
    /// An element of it is read by a key.
    Subscripted,
    /// It is an operand of an arithmetic operator.
    Operand,
    /// A known function calls it.
    Callback,
    /// A known function calls it or, if it is a list, tuple or dictionary, its elements.
    CallbackCollection,
    /// It is called directly.
    Callee,
    /// It denotes a type: in an annotation, `isinstance` or `except`.
    Type,
}

impl Usage {
    /// Returns whether a method is called on the value.
    pub(super) fn is_receiver(self) -> bool {
        matches!(self, Self::SetReceiver | Self::ObjectReceiver | Self::SetOrObjectReceiver | Self::OtherReceiver)
    }
}

/// A set of usages.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usages(u16);

impl Usages {
    const ALL: [Usage; 16] = [
        Usage::Unrestricted,
        Usage::Formatted,
        Usage::Bound,
        Usage::Consumed,
        Usage::OrderIndependent,
        Usage::SetReceiver,
        Usage::ObjectReceiver,
        Usage::SetOrObjectReceiver,
        Usage::OtherReceiver,
        Usage::AttributeBase,
        Usage::Subscripted,
        Usage::Operand,
        Usage::Callback,
        Usage::CallbackCollection,
        Usage::Callee,
        Usage::Type,
    ];

    pub(super) fn add(&mut self, usage: Usage) {
        self.0 |= 1 << usage as u16;
    }

    /// Returns whether every usage in the set is safe.
    pub(super) fn all(self, is_safe: impl Fn(Usage) -> bool) -> bool {
        Self::ALL.into_iter().all(|usage| self.0 & (1 << usage as u16) == 0 || is_safe(usage))
    }
}

/// Returns whether an attribute may yield a set: views of a mapping under `-` and `&`, methods of sets, and sympy's
/// sets of symbols.
pub(in crate::analyse::python) fn produces_set(attribute: &str) -> bool {
    matches!(attribute, "keys" | "items" | "union" | "intersection" | "difference" | "symmetric_difference")
        || is_set_attribute(attribute)
}

/// Returns whether an attribute is one of sympy's sets of symbols, whose order depends on the hashes of names.
pub(super) fn is_set_attribute(attribute: &str) -> bool {
    matches!(attribute, "free_symbols" | "bound_symbols" | "binary_symbols" | "atoms")
}

/// Returns whether an attribute gives access to the state of the interpreter.
pub(in crate::analyse::python) fn exposes_interpreter(attribute: &str) -> bool {
    matches!(
        attribute,
        "gi_frame"
            | "cr_frame"
            | "tb_frame"
            | "f_back"
            | "f_globals"
            | "f_locals"
            | "f_builtins"
            | "__globals__"
            | "__subclasses__"
            | "_getframe"
    )
}
