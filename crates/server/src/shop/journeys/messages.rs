//! What happens when nobody waits: topics and their readers, the jobs of the night, and the companies
//! outside that are asked.

use super::inside::{ORDER_TO_PAY, STOCK, USER_NAMES};
use crate::shop::operation::*;
use crate::shop::service::Service;

pub(super) static ORDER_CREATED: Topic = Topic {
    name: "order.created",
    n_partitions: 12,
    followers: &[&HOLD_STOCK],
    readers: &[&LEARN_TASTE],
};

pub(super) static ORDER_PAID: Topic = Topic {
    name: "order.paid",
    n_partitions: 12,
    followers: &[],
    readers: &[&SEND_INVOICE, &SEND_MESSAGES, &CREATE_SHIPMENT],
};

pub(super) static SHIPMENT_CREATED: Topic =
    Topic { name: "shipment.created", n_partitions: 6, followers: &[], readers: &[&SEND_MESSAGES] };

pub(super) static HOLD_STOCK: Operation = Operation {
    service: Service::Inventory,
    door: consume("order.created", "inventory"),
    busy_micros: 400,
    fails_per_mille: 3,
    notes: &[Note::OrderId],
    steps: &[
        query("UPDATE stock", "UPDATE stock SET held = held + ? WHERE sku = ?", 1_500),
        cache("HINCRBY", "stock:{sku}"),
    ],
    ..PLAIN
};

pub(super) static LEARN_TASTE: Operation = Operation {
    service: Service::Recommend,
    door: consume("order.created", "recommend"),
    busy_micros: 900,
    notes: &[Note::UserId],
    steps: &[work("update embedding", 5_200), cache("ZADD", "seen:{user}")],
    ..PLAIN
};

pub(super) static SEND_INVOICE: Operation = Operation {
    service: Service::Invoice,
    door: consume("order.paid", "invoice"),
    busy_micros: 2_200,
    fails_per_mille: 6,
    notes: &[Note::OrderId, Note::OrderTotal],
    steps: &[
        call(&ORDER_TO_PAY),
        work("draw invoice", 24_000),
        query(
            "INSERT invoices",
            "INSERT INTO invoices (order_id, number, document) VALUES (?, ?, ?)",
            2_600,
        ),
        Step::Partner { partner: &TAX_OFFICE, patience: Patience::Attempts(4) },
    ],
    ..PLAIN
};

pub(super) static SEND_MESSAGES: Operation = Operation {
    service: Service::Notify,
    door: consume("order.paid", "notify"),
    busy_micros: 1_100,
    notes: &[Note::UserId, Note::OrderId],
    steps: &[
        call(&USER_NAMES),
        Step::Together(&[
            Step::Partner { partner: &SHORT_MESSAGES, patience: Patience::Attempts(3) },
            Step::Partner { partner: &PUSH, patience: Patience::Optional },
        ]),
    ],
    ..PLAIN
};

pub(super) static CREATE_SHIPMENT: Operation = Operation {
    service: Service::Shipping,
    door: consume("order.paid", "shipping"),
    busy_micros: 800,
    fails_per_mille: 4,
    notes: &[Note::OrderId],
    steps: &[
        call(&ORDER_TO_PAY),
        work("choose carrier", 450),
        Step::Partner { partner: &CARRIER, patience: Patience::Attempts(3) },
        query(
            "INSERT parcels",
            "INSERT INTO parcels (order_id, carrier, tracking_number) VALUES (?, ?, ?)",
            1_400,
        ),
        publish(&SHIPMENT_CREATED),
    ],
    ..PLAIN
};

pub(super) static STOCK_SYNC: Operation = Operation {
    service: Service::StockSync,
    door: Door::Job { name: "nightly stock sync" },
    busy_micros: 40_000,
    steps: &[
        query(
            "SELECT warehouses",
            "SELECT id, name, feed_url FROM warehouses WHERE active = 1",
            1_500,
        ),
        Step::Lanes {
            n_lanes: 8,
            least: 40,
            most: 130,
            steps: &[
                work("read page of feed", 6_000),
                call(&STOCK),
                query(
                    "UPDATE stock",
                    "INSERT INTO stock (sku, warehouse, on_hand) VALUES (?, ?, ?), (?, ?, ?), (?, ?, ?) ON \
                     DUPLICATE KEY UPDATE on_hand = VALUES(on_hand)",
                    2_800,
                ),
                cache("HSET", "stock:{sku}"),
            ],
        },
        work("write report", 12_000),
    ],
    ..PLAIN
};

pub(super) static SETTLEMENT: Operation = Operation {
    service: Service::Settlement,
    door: Door::Job { name: "daily settlement" },
    busy_micros: 60_000,
    fails_per_mille: 60,
    steps: &[
        query(
            "SELECT payments",
            "SELECT id, order_id, amount, bank_reference FROM payments WHERE day = ?",
            48_000,
        ),
        Step::Lanes {
            n_lanes: 12,
            least: 20,
            most: 90,
            steps: &[
                call(&ORDER_TO_PAY),
                work("compare with bank statement", 1_800),
                query("UPDATE payments", "UPDATE payments SET settled_at = ? WHERE id = ?", 1_100),
            ],
        },
        Step::Partner { partner: &BANK, patience: Patience::Attempts(3) },
    ],
    ..PLAIN
};

pub(super) static BANK: Partner = Partner {
    host: "api.bank.example",
    method: "POST",
    path: "/v3/charges",
    micros: 165_000,
    fails_per_mille: 28,
};

pub(super) static TAX_OFFICE: Partner = Partner {
    host: "invoices.tax.example",
    method: "POST",
    path: "/einvoice/v2/documents",
    micros: 240_000,
    fails_per_mille: 45,
};

pub(super) static SHORT_MESSAGES: Partner = Partner {
    host: "sms.carrier.example",
    method: "POST",
    path: "/2025-01-01/messages",
    micros: 85_000,
    fails_per_mille: 18,
};

pub(super) static PUSH: Partner = Partner {
    host: "push.phone.example",
    method: "POST",
    path: "/v1/projects/shop/messages:send",
    micros: 60_000,
    fails_per_mille: 15,
};

pub(super) static CARRIER: Partner = Partner {
    host: "track.parcel.example",
    method: "GET",
    path: "/api/v4/parcels",
    micros: 110_000,
    fails_per_mille: 22,
};

pub(super) static MAP: Partner = Partner {
    host: "map.example",
    method: "GET",
    path: "/geocode/v3",
    micros: 38_000,
    fails_per_mille: 10,
};
