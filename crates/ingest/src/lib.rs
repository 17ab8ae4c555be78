//! Receive, decode, admit, append; answers only when the log has it.
