//! What happens in the shop: every journey of a visitor and every job of the night.
//!
//! A table of constants, written to be read. Texts in braces (`{sku}`, `{user}`, ...) are filled in
//! from the visitor (`visitor.rs`). Durations are medians.

mod inside;
mod messages;

use super::operation::*;
use super::service::Service;
use inside::*;
use messages::*;

/// Something that begins a trace, and how often it does.
#[derive(Debug)]
pub(crate) struct Journey {
    /// Of `WEIGHT_TOTAL`.
    pub(crate) weight: u32,
    pub(crate) begins: Begins,
    pub(crate) operation: &'static Operation,
}

/// Where a trace starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// At the external gateway; some clients send their own spans, then it starts at the click.
    Outside { click: &'static str },
    /// The gateway answers alone.
    AtTheGateway,
    /// By the clock.
    Job,
    /// When messages of other traces have come.
    Messages,
}

const fn visit(weight: u32, click: &'static str, operation: &'static Operation) -> Journey {
    Journey { weight, begins: Begins::Outside { click }, operation }
}

const fn begins(weight: u32, begins: Begins, operation: &'static Operation) -> Journey {
    Journey { weight, begins, operation }
}

pub(crate) const WEIGHT_TOTAL: u32 = 100_000;

/// The weights add up to `WEIGHT_TOTAL`.
pub(crate) static JOURNEYS: [Journey; 19] = [
    begins(9_000, Begins::AtTheGateway, &HEALTH),
    begins(7_500, Begins::AtTheGateway, &STATIC_FILE),
    visit(16_000, "open home page", &HOME),
    visit(19_400, "open product", &PRODUCT_PAGE),
    visit(10_200, "search", &SEARCH),
    visit(5_400, "show more reviews", &REVIEWS),
    visit(5_600, "add to cart", &ADD_TO_CART),
    visit(5_200, "open cart", &VIEW_CART),
    visit(4_900, "check out", &CHECKOUT),
    visit(3_300, "pay now", &PAY),
    visit(2_800, "log in", &LOGIN),
    visit(3_300, "my orders", &MY_ORDERS),
    visit(700, "write review", &WRITE_REVIEW),
    begins(1_800, Begins::Messages, &SEND_INVOICE),
    begins(2_000, Begins::Messages, &SEND_MESSAGES),
    begins(1_600, Begins::Messages, &CREATE_SHIPMENT),
    begins(1_272, Begins::Messages, &LEARN_TASTE),
    begins(18, Begins::Job, &STOCK_SYNC),
    begins(10, Begins::Job, &SETTLEMENT),
];

static HEALTH: Operation = Operation {
    service: Service::GatewayExternal,
    door: http("GET", "/healthz"),
    busy_micros: 120,
    ..PLAIN
};

static STATIC_FILE: Operation = Operation {
    service: Service::GatewayExternal,
    door: http("GET", "/static/{asset}"),
    busy_micros: 260,
    refusals: &[refusal(404, 12, "no such file")],
    ..PLAIN
};

static HOME: Operation = Operation {
    service: Service::HomePage,
    door: http("GET", "/"),
    busy_micros: 1_400,
    fails_per_mille: 1,
    notes: &[Note::FirstVisit, Note::SessionId],
    steps: &[
        cached(
            "page:home:{city}",
            880,
            &[
                Step::Together(&[call(&BANNERS), call(&NEW_PRODUCTS), ask(&RECOMMEND)]),
                work("render home page", 2_600),
                cache("SETEX", "page:home:{city}"),
            ],
        ),
        sometimes(420, &[ask(&CART_BADGE)]),
    ],
    ..PLAIN
};

static PRODUCT_PAGE: Operation = Operation {
    service: Service::Mall,
    door: http("GET", "/product/{sku}"),
    busy_micros: 2_100,
    fails_per_mille: 1,
    refusals: &[refusal(404, 9, "product is not sold any more")],
    notes: &[Note::Sku, Note::SessionId],
    steps: &[
        Step::Together(&[call(&PRODUCT), call(&PRICE), ask(&REVIEW_SUMMARY)]),
        sometimes(450, &[ask(&RECOMMEND)]),
        work("render product page", 1_900),
    ],
};

static SEARCH: Operation = Operation {
    service: Service::Search,
    door: http("GET", "/search"),
    busy_micros: 900,
    fails_per_mille: 2,
    notes: &[Note::SearchWords, Note::SessionId],
    steps: &[
        work("parse words", 140),
        cached(
            "search:{word}:{page}",
            380,
            &[
                Step::Find {
                    index: "products",
                    text: "{\"query\":{\"bool\":{\"must\":[{\"match\":{\"title\":\"{word}\"}}],\
                           \"filter\":[{\"term\":{\"on_sale\":true}}]}},\"size\":40}",
                    micros: 11_500,
                },
                work("rank results", 1_700),
                cache("SETEX", "search:{word}:{page}"),
            ],
        ),
        call(&PRICES),
    ],
    ..PLAIN
};

static REVIEWS: Operation = Operation {
    service: Service::Review,
    door: http("GET", "/product/{sku}/reviews"),
    busy_micros: 1_100,
    notes: &[Note::Sku],
    steps: &[
        query(
            "SELECT reviews",
            "SELECT id, user_id, stars, text, created_at FROM reviews WHERE sku = ? AND visible = 1 \
             ORDER BY created_at DESC LIMIT 20",
            1_600,
        ),
        call(&USER_NAMES),
    ],
    ..PLAIN
};

static ADD_TO_CART: Operation = Operation {
    service: Service::Cart,
    door: http("POST", "/cart/items"),
    busy_micros: 600,
    refusals: &[refusal(409, 14, "out of stock")],
    notes: &[Note::UserId, Note::Sku, Note::CartItems],
    steps: &[
        call(&CHECK_SESSION),
        Step::Together(&[call(&STOCK), call(&PRICE)]),
        cache("HSET", "cart:{user}"),
        cache("EXPIRE", "cart:{user}"),
    ],
    ..PLAIN
};

static VIEW_CART: Operation = Operation {
    service: Service::Cart,
    door: http("GET", "/cart"),
    busy_micros: 700,
    notes: &[Note::UserId, Note::CartItems, Note::CouponCodes],
    steps: &[
        call(&CHECK_SESSION),
        cache("HGETALL", "cart:{user}"),
        Step::Together(&[call(&PRICES), call(&STOCK), ask(&COUPONS)]),
        work("add up cart", 210),
    ],
    ..PLAIN
};

static CHECKOUT: Operation = Operation {
    service: Service::Order,
    door: http("POST", "/orders"),
    busy_micros: 1_500,
    fails_per_mille: 3,
    refusals: &[refusal(422, 8, "address is incomplete")],
    notes: &[Note::UserId, Note::OrderId, Note::OrderTotal, Note::CouponCodes],
    steps: &[
        call(&CHECK_SESSION),
        call(&CART_FOR_ORDER),
        Step::Together(&[call(&PRICES), insist(&USE_COUPON), call(&SHIPPING_COST)]),
        call(&RISK),
        insist(&RESERVE),
        query("BEGIN", "BEGIN", 160),
        query(
            "INSERT orders",
            "INSERT INTO orders (id, user_id, state, total, currency, created_at) VALUES (?, ?, \
             'created', ?, 'CNY', ?)",
            1_100,
        ),
        Step::Repeat {
            least: 1,
            most: 6,
            steps: &[query(
                "INSERT order_items",
                "INSERT INTO order_items (order_id, sku, quantity, price) VALUES (?, ?, ?, ?)",
                620,
            )],
        },
        query("COMMIT", "COMMIT", 1_900),
        publish(&ORDER_CREATED),
        cache("DEL", "cart:{user}"),
    ],
};

static PAY: Operation = Operation {
    service: Service::Payment,
    door: http("POST", "/orders/{order}/pay"),
    busy_micros: 2_400,
    fails_per_mille: 3,
    refusals: &[refusal(402, 22, "card declined"), refusal(409, 6, "order is already paid")],
    notes: &[Note::UserId, Note::OrderId, Note::OrderTotal, Note::RiskScore],
    steps: &[
        call(&CHECK_SESSION),
        call(&ORDER_TO_PAY),
        call(&RISK),
        query(
            "INSERT payments",
            "INSERT INTO payments (id, order_id, amount, state) VALUES (?, ?, ?, 'pending')",
            1_300,
        ),
        Step::Partner { partner: &BANK, patience: Patience::Attempts(3) },
        query(
            "UPDATE payments",
            "UPDATE payments SET state = 'paid', bank_reference = ? WHERE id = ? AND state = \
             'pending'",
            1_500,
        ),
        publish(&ORDER_PAID),
        insist(&MARK_PAID),
    ],
};

static MY_ORDERS: Operation = Operation {
    service: Service::Mall,
    door: http("GET", "/my/orders"),
    busy_micros: 1_700,
    notes: &[Note::UserId, Note::UserTier],
    steps: &[
        call(&CHECK_SESSION),
        call(&ORDERS_OF_USER),
        sometimes(600, &[ask(&PARCELS)]),
        work("render orders", 1_300),
    ],
    ..PLAIN
};

static LOGIN: Operation = Operation {
    service: Service::User,
    door: http("POST", "/login"),
    busy_micros: 1_600,
    refusals: &[refusal(401, 60, "wrong password"), refusal(429, 9, "too many attempts")],
    notes: &[Note::UserId, Note::SessionId],
    steps: &[
        query(
            "SELECT users",
            "SELECT id, password_hash, tier, locked_until FROM users WHERE phone = '138****{tail}'",
            900,
        ),
        work("verify password", 58_000),
        call(&RISK),
        call(&NEW_SESSION),
        query("UPDATE users", "UPDATE users SET last_login_at = NOW() WHERE id = {user}", 1_000),
    ],
    ..PLAIN
};

static WRITE_REVIEW: Operation = Operation {
    service: Service::Review,
    door: http("POST", "/product/{sku}/reviews"),
    busy_micros: 1_300,
    refusals: &[refusal(403, 30, "product was not bought")],
    notes: &[Note::UserId, Note::Sku],
    steps: &[
        call(&CHECK_SESSION),
        work("filter words", 2_100),
        query(
            "INSERT reviews",
            "INSERT INTO reviews (sku, user_id, stars, text) VALUES (?, ?, ?, ?)",
            1_200,
        ),
        cache("DEL", "reviews:{sku}"),
    ],
    ..PLAIN
};
