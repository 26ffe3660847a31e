//! A backend made of one seed.
