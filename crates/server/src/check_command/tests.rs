//! What an operator reads about a place where a server would run.
