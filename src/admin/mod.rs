//! The socket of the command line tools.
