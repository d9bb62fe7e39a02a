//! How a request is answered: with a value, or with words on why not.

use crate::fields::required;
use crate::{InvalidMessage, Wire, decode, v1};

/// Encodes an answer.
pub fn encode<T: Wire>(answer: &Result<T, String>) -> Vec<u8> {
    use v1::response::Result as Raw;
    let result = match answer {
        Ok(value) => Raw::Ok(value.to_wire()),
        Err(why) => Raw::Error(why.clone()),
    };
    prost::Message::encode_to_vec(&v1::Response { result: Some(result) })
}

/// Reads an answer. The outer fault is of the message, the inner of the service.
pub fn read<T: Wire>(bytes: &[u8]) -> Result<Result<T, String>, InvalidMessage> {
    use v1::response::Result as Raw;
    match required(decode::<v1::Response>(bytes)?.result, "result")? {
        Raw::Ok(value) => Ok(Ok(T::from_wire(&value)?)),
        Raw::Error(why) => Ok(Err(why)),
    }
}
