//! What the services do for each other: nobody outside sees these addresses.

use super::messages::{CARRIER, MAP};
use crate::shop::operation::*;
use crate::shop::service::Service;

pub(super) static CART_BADGE: Operation = Operation {
    service: Service::Cart,
    door: http("GET", "/internal/cart/{user}/size"),
    busy_micros: 250,
    notes: &[Note::UserId],
    steps: &[cache("HLEN", "cart:{user}")],
    ..PLAIN
};

pub(super) static CART_FOR_ORDER: Operation = Operation {
    service: Service::Cart,
    door: http("GET", "/internal/cart/{user}"),
    busy_micros: 420,
    notes: &[Note::UserId, Note::CartItems],
    steps: &[cache("HGETALL", "cart:{user}")],
    ..PLAIN
};

pub(super) static ORDER_TO_PAY: Operation = Operation {
    service: Service::Order,
    door: http("GET", "/internal/orders/{order}"),
    busy_micros: 450,
    notes: &[Note::OrderId],
    steps: &[
        query(
            "SELECT orders",
            "SELECT id, user_id, state, total, currency FROM orders WHERE id = ? FOR UPDATE",
            1_200,
        ),
        query(
            "SELECT order_items",
            "SELECT sku, quantity, price FROM order_items WHERE order_id = ?",
            800,
        ),
    ],
    ..PLAIN
};

pub(super) static MARK_PAID: Operation = Operation {
    service: Service::Order,
    door: http("PUT", "/internal/orders/{order}/state"),
    busy_micros: 380,
    fails_per_mille: 4,
    notes: &[Note::OrderId],
    steps: &[query(
        "UPDATE orders",
        "UPDATE orders SET state = 'paid', paid_at = ? WHERE id = ?",
        1_400,
    )],
    ..PLAIN
};

pub(super) static ORDERS_OF_USER: Operation = Operation {
    service: Service::Order,
    door: http("GET", "/internal/users/{user}/orders"),
    busy_micros: 520,
    notes: &[Note::UserId],
    steps: &[
        query(
            "SELECT orders",
            "SELECT id, state, total, currency, created_at FROM orders WHERE user_id = ? ORDER BY \
             created_at DESC LIMIT 10",
            2_300,
        ),
        query(
            "SELECT order_items",
            "SELECT order_id, sku, quantity FROM order_items WHERE order_id IN (?, ?, ?, ?, ?)",
            1_500,
        ),
    ],
    ..PLAIN
};

pub(super) static CHECK_SESSION: Operation = Operation {
    service: Service::Auth,
    door: rpc("shop.auth.v1.Auth/CheckSession"),
    busy_micros: 180,
    notes: &[Note::UserId],
    steps: &[cached(
        "session:{session}",
        960,
        &[query("SELECT sessions", "SELECT user_id, expires_at FROM sessions WHERE id = ?", 700)],
    )],
    ..PLAIN
};

pub(super) static NEW_SESSION: Operation = Operation {
    service: Service::Auth,
    door: rpc("shop.auth.v1.Auth/NewSession"),
    busy_micros: 240,
    notes: &[Note::UserId],
    steps: &[
        work("sign token", 320),
        query(
            "INSERT sessions",
            "INSERT INTO sessions (id, user_id, expires_at) VALUES (?, ?, ?)",
            900,
        ),
        cache("SETEX", "session:{session}"),
    ],
    ..PLAIN
};

pub(super) static USER_NAMES: Operation = Operation {
    service: Service::User,
    door: http("GET", "/internal/users"),
    busy_micros: 800,
    steps: &[
        cache("MGET", "user:{user} user:{sku} user:{tail}"),
        sometimes(
            300,
            &[query(
                "SELECT users",
                "SELECT id, nick_name, avatar, tier FROM users WHERE id IN ({user}, {sku}, {tail})",
                900,
            )],
        ),
    ],
    ..PLAIN
};

pub(super) static PRODUCT: Operation = Operation {
    service: Service::Catalog,
    door: http("GET", "/internal/products/{sku}"),
    busy_micros: 350,
    notes: &[Note::Sku],
    steps: &[cached(
        "product:{sku}",
        820,
        &[
            query(
                "SELECT products",
                "SELECT id, title, brand, images, attributes FROM products WHERE id = ?",
                1_100,
            ),
            query(
                "SELECT categories",
                "SELECT id, name, parent_id FROM categories WHERE id IN (?, ?, ?)",
                600,
            ),
            cache("SETEX", "product:{sku}"),
        ],
    )],
    ..PLAIN
};

pub(super) static NEW_PRODUCTS: Operation = Operation {
    service: Service::Catalog,
    door: http("GET", "/internal/products"),
    busy_micros: 600,
    steps: &[query(
        "SELECT products",
        "SELECT id, title, images FROM products WHERE on_sale = 1 ORDER BY listed_at DESC LIMIT 24",
        4_200,
    )],
    ..PLAIN
};

pub(super) static BANNERS: Operation = Operation {
    service: Service::Coupon,
    door: http("GET", "/internal/banners"),
    busy_micros: 900,
    steps: &[cached(
        "banners:{city}",
        700,
        &[query(
            "SELECT banners",
            "SELECT id, image, link FROM banners WHERE city = '{city}' AND NOW() BETWEEN starts_at AND ends_at",
            1_000,
        )],
    )],
    ..PLAIN
};

pub(super) static PRICE: Operation = Operation {
    service: Service::Price,
    door: http("GET", "/internal/prices/{sku}"),
    busy_micros: 260,
    notes: &[Note::Sku],
    steps: &[cached(
        "price:{sku}",
        900,
        &[query(
            "SELECT prices",
            "SELECT sku, amount, currency, valid_to FROM prices WHERE sku = ?",
            700,
        )],
    )],
    ..PLAIN
};

pub(super) static PRICES: Operation = Operation {
    service: Service::Price,
    door: http("POST", "/internal/prices"),
    busy_micros: 480,
    steps: &[cache("MGET", "price:{sku} price:{user} price:{tail}"), work("apply discounts", 190)],
    ..PLAIN
};

pub(super) static STOCK: Operation = Operation {
    service: Service::Inventory,
    door: rpc("shop.inventory.v1.Inventory/GetStock"),
    busy_micros: 150,
    notes: &[Note::Sku],
    steps: &[cache("HMGET", "stock:{sku}")],
    ..PLAIN
};

pub(super) static RESERVE: Operation = Operation {
    service: Service::Inventory,
    door: rpc("shop.inventory.v1.Inventory/Reserve"),
    busy_micros: 420,
    fails_per_mille: 9,
    refusals: &[refusal(409, 12, "out of stock")],
    notes: &[Note::OrderId],
    steps: &[
        query(
            "UPDATE stock",
            "UPDATE stock SET reserved = reserved + ? WHERE sku = ? AND on_hand - reserved >= ?",
            1_700,
        ),
        cache("HINCRBY", "stock:{sku}"),
    ],
};

pub(super) static REVIEW_SUMMARY: Operation = Operation {
    service: Service::Review,
    door: http("GET", "/internal/reviews/{sku}/summary"),
    busy_micros: 700,
    notes: &[Note::Sku],
    steps: &[cached(
        "reviews:{sku}",
        850,
        &[query(
            "SELECT reviews",
            "SELECT COUNT(*), AVG(stars) FROM reviews WHERE sku = ? AND visible = 1",
            2_400,
        )],
    )],
    ..PLAIN
};

pub(super) static RECOMMEND: Operation = Operation {
    service: Service::Recommend,
    door: http("GET", "/internal/recommendations/{user}"),
    busy_micros: 1_200,
    fails_per_mille: 6,
    notes: &[Note::UserId],
    steps: &[
        cache("ZREVRANGE", "seen:{user}"),
        work("load embedding", 900),
        work("score candidates", 7_800),
    ],
    ..PLAIN
};

pub(super) static COUPONS: Operation = Operation {
    service: Service::Coupon,
    door: http("GET", "/internal/users/{user}/coupons"),
    busy_micros: 850,
    fails_per_mille: 2,
    notes: &[Note::UserId, Note::CouponCodes],
    steps: &[query(
        "SELECT coupons",
        "SELECT code, percent, least_total, expires_at FROM coupons WHERE user_id = {user} AND used_at IS NULL",
        1_300,
    )],
    ..PLAIN
};

pub(super) static USE_COUPON: Operation = Operation {
    service: Service::Coupon,
    door: http("POST", "/internal/coupons/use"),
    busy_micros: 900,
    fails_per_mille: 7,
    refusals: &[refusal(410, 10, "coupon has expired")],
    notes: &[Note::UserId, Note::OrderId, Note::CouponCodes],
    steps: &[query(
        "UPDATE coupons",
        "UPDATE coupons SET used_at = NOW(), order_id = '{order}' WHERE user_id = {user} AND used_at IS NULL LIMIT 1",
        1_800,
    )],
};

pub(super) static SHIPPING_COST: Operation = Operation {
    service: Service::Shipping,
    door: http("GET", "/internal/shipping/cost"),
    busy_micros: 500,
    steps: &[
        cached(
            "zone:{city}",
            930,
            &[Step::Partner { partner: &MAP, patience: Patience::Attempts(2) }],
        ),
        work("pack parcels", 350),
    ],
    ..PLAIN
};

pub(super) static RISK: Operation = Operation {
    service: Service::Risk,
    door: http("POST", "/internal/risk"),
    busy_micros: 310,
    refusals: &[refusal(403, 4, "looks like a robot")],
    notes: &[Note::UserId, Note::RiskScore],
    steps: &[cache("ZCOUNT", "attempts:{user}"), work("run rules", 640)],
    ..PLAIN
};

pub(super) static PARCELS: Operation = Operation {
    service: Service::Shipping,
    door: http("GET", "/internal/users/{user}/parcels"),
    busy_micros: 520,
    notes: &[Note::UserId],
    steps: &[
        query(
            "SELECT parcels",
            "SELECT id, carrier, state FROM parcels WHERE user_id = ? ORDER BY id DESC LIMIT 5",
            1_100,
        ),
        Step::Partner { partner: &CARRIER, patience: Patience::Attempts(2) },
    ],
    ..PLAIN
};
