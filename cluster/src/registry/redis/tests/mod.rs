//! What only this registry promises.
