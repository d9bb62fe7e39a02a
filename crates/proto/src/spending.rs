//! What model calls cost.

use domain::spending::{Account, Cost, Reserved};

use crate::{InvalidMessage, v1, wire};

wire!(Account as v1::SpendingAccount);

impl From<&Account> for v1::SpendingAccount {
    fn from(value: &Account) -> Self {
        let cost = |cost: &Cost| Some(v1::Cost { tokens: cost.tokens, micros: cost.micros });
        let open = value.open.iter().map(|(call, reserved)| v1::ReservedCall {
            call: call.clone(),
            cost: cost(&reserved.cost),
            until_ms: reserved.until_ms,
        });
        Self { spent: cost(&value.spent), open: open.collect() }
    }
}

impl TryFrom<v1::SpendingAccount> for Account {
    type Error = InvalidMessage;
    fn try_from(raw: v1::SpendingAccount) -> Result<Self, InvalidMessage> {
        let cost = |raw: Option<v1::Cost>| {
            let raw = raw.unwrap_or_default();
            Cost { tokens: raw.tokens, micros: raw.micros }
        };
        let open = raw.open.into_iter().map(|open| {
            let v1::ReservedCall { call, cost: reserved, until_ms } = open;
            (call, Reserved { cost: cost(reserved), until_ms })
        });
        Ok(Self { spent: cost(raw.spent), open: open.collect() })
    }
}
