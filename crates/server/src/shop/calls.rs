//! What each instrumentation writes on its spans (OpenTelemetry semantic conventions 1.37).
//!
//! In: what was called. Out: attribute lists in the order in which the SDKs send them. The outcome
//! (status code, error type) is added when the span ends.

use super::operation::Partner;
use super::service::Service;
use super::span::{Attribute, Text, attribute};
use super::visitor::Visitor;

/// One HTTP request between two processes.
pub(crate) struct Request<'a> {
    pub(crate) method: &'static str,
    pub(crate) route: &'static str,
    pub(crate) server: Service,
    pub(crate) client_address: Text,
    pub(crate) visitor: &'a Visitor,
}

/// What the external gateway writes: it sees the visitor as he is.
pub(crate) fn http_gateway(request: &Request<'_>) -> Vec<Attribute> {
    let mut attributes = Vec::with_capacity(14);
    attributes.extend([
        attribute("http.request.method", request.method),
        attribute("url.scheme", "https"),
        attribute("url.path", request.visitor.fill(request.route)),
    ]);
    if let Some(query) = request.visitor.url_query(request.route) {
        attributes.push(attribute("url.query", query));
    }
    attributes.extend([
        attribute("http.route", request.route),
        attribute("server.address", request.server.host()),
        attribute("server.port", request.server.facts().port),
        attribute("network.protocol.version", "2"),
        attribute("client.address", request.client_address.clone()),
        attribute("user_agent.original", request.visitor.user_agent),
    ]);
    attributes
}

/// What a service, or the internal gateway, writes about a request that it answers.
pub(crate) fn http_server(request: &Request<'_>) -> Vec<Attribute> {
    let mut attributes = Vec::with_capacity(12);
    attributes.extend([
        attribute("http.request.method", request.method),
        attribute("http.route", request.route),
        attribute("url.path", request.visitor.fill(request.route)),
        attribute("url.scheme", "http"),
        attribute("server.address", request.server.host()),
        attribute("server.port", request.server.facts().port),
        attribute("client.address", request.client_address.clone()),
    ]);
    attributes
}

/// What the caller of a service writes.
pub(crate) fn http_client(request: &Request<'_>, n_resends: u32) -> Vec<Attribute> {
    let path = request.visitor.fill(request.route);
    let host = Service::GatewayInternal.host();
    let port = Service::GatewayInternal.facts().port;
    let mut attributes = Vec::with_capacity(10);
    attributes.extend([
        attribute("http.request.method", request.method),
        attribute(
            "url.full",
            format!("http://{host}:{port}/{}{path}", request.server.facts().name),
        ),
        attribute("url.template", request.route),
        attribute("server.address", host),
        attribute("server.port", port),
        attribute("peer.service", request.server.facts().name),
    ]);
    push_resends(&mut attributes, n_resends);
    attributes
}

/// What a visitor's own device writes.
pub(crate) fn http_device(request: &Request<'_>) -> Vec<Attribute> {
    let path = request.visitor.fill(request.route);
    vec![
        attribute("http.request.method", request.method),
        attribute("url.full", format!("https://{}{path}", Service::GatewayExternal.host())),
        attribute("server.address", Service::GatewayExternal.host()),
        attribute("server.port", 443_i64),
    ]
}

pub(crate) fn partner(partner: &Partner, n_resends: u32) -> Vec<Attribute> {
    let mut attributes = Vec::with_capacity(10);
    attributes.extend([
        attribute("http.request.method", partner.method),
        attribute("url.full", format!("https://{}{}", partner.host, partner.path)),
        attribute("url.template", partner.path),
        attribute("server.address", partner.host),
        attribute("server.port", 443_i64),
        attribute("network.protocol.version", "1.1"),
    ]);
    push_resends(&mut attributes, n_resends);
    attributes
}

fn push_resends(attributes: &mut Vec<Attribute>, n_resends: u32) {
    if n_resends > 0 {
        attributes.push(attribute("http.request.resend_count", i64::from(n_resends)));
    }
}

pub(crate) fn rpc(method: &'static str, server: Service) -> Vec<Attribute> {
    let mut attributes = Vec::with_capacity(8);
    attributes.extend([
        attribute("rpc.system.name", "grpc"),
        attribute("rpc.method", method),
        attribute("server.address", server.host()),
        attribute("server.port", server.facts().port),
    ]);
    attributes
}

/// `name` is the summary of the statement: operation and table.
pub(crate) fn mysql(name: &'static str, text: Text, service: Service) -> Vec<Attribute> {
    let mut attributes = Vec::with_capacity(10);
    let (operation, table) = name.split_once(' ').unwrap_or((name, ""));
    attributes.extend([
        attribute("db.system.name", "mysql"),
        attribute("db.namespace", database(service)),
        attribute("db.operation.name", operation),
    ]);
    if !table.is_empty() {
        attributes.push(attribute("db.collection.name", table));
    }
    attributes.extend([
        attribute("db.query.text", text),
        attribute("server.address", database_host(service)),
        attribute("server.port", 3306_i64),
    ]);
    attributes
}

pub(crate) fn redis(command: &'static str, key: Text) -> Vec<Attribute> {
    let mut attributes = Vec::with_capacity(8);
    attributes.extend([
        attribute("db.system.name", "redis"),
        attribute("db.operation.name", command),
        attribute("db.query.text", format!("{command} {key}")),
        attribute("server.address", "redis.data"),
        attribute("server.port", 6379_i64),
    ]);
    attributes
}

pub(crate) fn elasticsearch(index: &'static str, text: Text) -> Vec<Attribute> {
    vec![
        attribute("db.system.name", "elasticsearch"),
        attribute("db.operation.name", "search"),
        attribute("db.collection.name", index),
        attribute("db.query.text", text),
        attribute("http.request.method", "POST"),
        attribute("url.full", format!("http://search.data:9200/{index}/_search")),
        attribute("server.address", "search.data"),
        attribute("server.port", 9200_i64),
    ]
}

/// One message on its way to Kafka.
pub(crate) struct Message {
    pub(crate) topic: &'static str,
    pub(crate) partition: u64,
    pub(crate) offset: u64,
    pub(crate) key: String,
    pub(crate) body_bytes: u64,
}

pub(crate) fn kafka_send(message: &Message) -> Vec<Attribute> {
    vec![
        attribute("messaging.system", "kafka"),
        attribute("messaging.operation.name", "send"),
        attribute("messaging.operation.type", "send"),
        attribute("messaging.destination.name", message.topic),
        attribute("messaging.destination.partition.id", message.partition.to_string()),
        attribute("messaging.kafka.message.key", message.key.clone()),
        attribute("messaging.kafka.offset", message.offset as i64),
        attribute("messaging.message.body.size", message.body_bytes as i64),
        attribute("server.address", "kafka.data"),
        attribute("server.port", 9092_i64),
    ]
}

pub(crate) fn kafka_process(
    topic: &'static str,
    group: &'static str,
    n_messages: usize,
) -> Vec<Attribute> {
    let mut attributes = Vec::with_capacity(12);
    attributes.extend([
        attribute("messaging.system", "kafka"),
        attribute("messaging.operation.name", "process"),
        attribute("messaging.operation.type", "process"),
        attribute("messaging.destination.name", topic),
        attribute("messaging.consumer.group.name", group),
        attribute("server.address", "kafka.data"),
        attribute("server.port", 9092_i64),
    ]);
    if n_messages > 1 {
        attributes.push(attribute("messaging.batch.message_count", n_messages as i64));
    }
    attributes
}

/// The schema of a service's own database.
fn database(service: Service) -> &'static str {
    match service {
        Service::Catalog | Service::Coupon | Service::Price => "catalog",
        Service::Order | Service::Shipping | Service::Inventory | Service::StockSync => "orders",
        Service::Payment | Service::Invoice | Service::Settlement => "money",
        Service::User | Service::Auth => "users",
        _ => "shop",
    }
}

fn database_host(service: Service) -> &'static str {
    match database(service) {
        "catalog" => "mysql-catalog.data",
        "orders" => "mysql-orders.data",
        "money" => "mysql-money.data",
        "users" => "mysql-users.data",
        _ => "mysql-shop.data",
    }
}
