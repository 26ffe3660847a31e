//! Values that must not be seen, and the places where they are not.

/// A value whose order or text differs from process to process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hazard {
    /// Its order follows hashes.
    Set,
    /// Its text is an address.
    Iterator,
    /// Its text is an address; calling it is fine.
    Function,
    /// Its text is an address; some of its methods are fine.
    Opaque,
    /// Groups or windows of a table: their text is an address, their methods and elements are fine.
    Group,
    /// A way into a table (`loc`, `str`): its text is an address, its methods and what it gives by a key are fine.
    Accessor,
    /// What is data of a table and a method of a list: in the second case its text is an address.
    Method,
    /// What `super()` gives: its text is an address, its methods are the program's own.
    Parent,
    /// The class of an object: its text is a name, but asked of it, what objects hold is something else, and its class
    /// makes classes.
    Kind,
}

impl Hazard {
    /// True where a place shows neither order nor text.
    pub(super) fn is_safe_in(self, place: Place) -> bool {
        match self {
            Self::Set => matches!(place, Place::Bound | Place::Unordered | Place::SetReceiver | Place::EitherReceiver),
            Self::Iterator => matches!(place, Place::Bound | Place::Unordered | Place::Consumed),
            Self::Function => matches!(place, Place::Bound | Place::Callback | Place::Callee),
            Self::Opaque => matches!(place, Place::Bound | Place::ObjectReceiver | Place::EitherReceiver),
            Self::Kind => matches!(place, Place::Unordered | Place::Type | Place::Shown),
            Self::Parent => matches!(place, Place::Holder) || place.is_receiver(),
            Self::Group => matches!(place, Place::Bound | Place::Consumed | Place::Unordered) || place.is_receiver(),
            Self::Accessor => matches!(place, Place::Element) || place.is_receiver(),
            Self::Method => {
                matches!(
                    place,
                    Place::Bound | Place::Consumed | Place::Unordered | Place::Element | Place::Operand | Place::Holder
                ) || place.is_receiver()
            }
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Set => "the order of a set differs from process to process",
            Self::Iterator => "an iterator is kept where its address could be printed",
            Self::Function => "a function is kept where its address could be printed",
            Self::Method => "what may be a method is kept where its address could be printed",
            Self::Kind => "the class of an object is kept, where more than its name may be asked of it",
            Self::Opaque | Self::Parent | Self::Group | Self::Accessor => "an object is kept whose text is its address",
        }
    }
}

/// What becomes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Anything: it may be printed, kept, returned.
    Plain,
    /// It is made a text, and gone.
    Shown,
    /// A single name of the program; the name is followed.
    Bound,
    /// Its elements are taken in order and the value itself is gone.
    Consumed,
    /// Only what does not depend on order is taken: membership, length, truth.
    Unordered,
    /// A method is called on it that shows nothing of a set's order.
    SetReceiver,
    /// A method is called on it that shows nothing of an object's address.
    ObjectReceiver,
    /// Both.
    EitherReceiver,
    /// Any other method of it is called.
    Receiver,
    /// An attribute of it is taken.
    Holder,
    /// An element of it is taken, by a key.
    Element,
    /// Arithmetic is done with it.
    Operand,
    /// Something known calls it.
    Callback,
    /// Something known calls it, or what it holds where it is a list or a dictionary.
    Callbacks,
    /// It is called here.
    Callee,
    /// It names a type: annotations, `isinstance`, `except`.
    Type,
}

impl Place {
    /// True where a method is called on the value.
    pub(super) fn is_receiver(self) -> bool {
        matches!(self, Self::SetReceiver | Self::ObjectReceiver | Self::EitherReceiver | Self::Receiver)
    }
}

/// A set of places.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Places(u16);

impl Places {
    const ALL: [Place; 16] = [
        Place::Plain,
        Place::Shown,
        Place::Bound,
        Place::Consumed,
        Place::Unordered,
        Place::SetReceiver,
        Place::ObjectReceiver,
        Place::EitherReceiver,
        Place::Receiver,
        Place::Holder,
        Place::Element,
        Place::Operand,
        Place::Callback,
        Place::Callbacks,
        Place::Callee,
        Place::Type,
    ];

    pub(super) fn add(&mut self, place: Place) {
        self.0 |= 1 << place as u16;
    }

    pub(super) fn all(self, safe: impl Fn(Place) -> bool) -> bool {
        Self::ALL.into_iter().all(|place| self.0 & (1 << place as u16) == 0 || safe(place))
    }
}

/// Attributes that are sets whatever they are asked of: views of a mapping under `-` and `&`, and what sympy calls the
/// parts of an expression.
pub(in crate::analyse::python) fn gives_a_set(attribute: &str) -> bool {
    matches!(attribute, "keys" | "items" | "union" | "intersection" | "difference" | "symmetric_difference")
        || is_set_attribute(attribute)
}

/// Sets of symbols: their order follows the hashes of names.
pub(super) fn is_set_attribute(attribute: &str) -> bool {
    matches!(attribute, "free_symbols" | "bound_symbols" | "binary_symbols" | "atoms")
}

/// Attributes that lead out of the program into the interpreter that runs it.
pub(in crate::analyse::python) fn shows_the_interpreter(attribute: &str) -> bool {
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
