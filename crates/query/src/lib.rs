//! Plans a question and answers it over the store.
