//! What a span is: values, resource, tenant, time, and the one columnar table shape.
