//! What every implementation of the port `Cloud` must do, as one suite.
