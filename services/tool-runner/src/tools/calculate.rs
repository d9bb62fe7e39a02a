//! Arithmetic: `+ - * / % ^`, brackets, a few functions.

use async_trait::async_trait;
use domain::tool::{Effect, Risk, ToolRequest, ToolSpec};
use serde_json::{Value, json};

use super::{for_anyone, spec, text};
use crate::registry::Builtin;

/// Longest expression, in characters.
const LENGTH: usize = 500;
/// Deepest nesting of brackets and signs.
const DEPTH: usize = 50;

pub(super) struct Calculate {
    spec: ToolSpec,
}

impl Calculate {
    pub(super) fn new() -> Self {
        let expression =
            json!({"type": "string", "minLength": 1, "maxLength": LENGTH, "description": "Such as (2 + 3) * sqrt(16)"});
        let description =
            "Calculates: + - * / % ^, brackets, pi, e, sqrt, abs, ln, log10, sin, cos, tan, round, floor, ceil.";
        Self {
            spec: for_anyone(spec(
                "calculate",
                description,
                Effect::ReadOnly,
                Risk::Safe,
                json!({"expression": expression}),
                &["expression"],
            )),
        }
    }
}

#[async_trait]
impl Builtin for Calculate {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, _: &ToolRequest, arguments: Value) -> Result<String, String> {
        let expression = text(&arguments, "expression");
        evaluate(expression).map(|value| format!("{} = {}", expression.trim(), render(value)))
    }
}

/// Twelve digits: enough to read, few enough to hide binary fractions.
fn render(value: f64) -> String {
    let rounded = format!("{value:.12}");
    match rounded.parse::<f64>() {
        Ok(rounded) if value.abs() < 1e15 => rounded.to_string(),
        _ => value.to_string(),
    }
}

fn evaluate(expression: &str) -> Result<f64, String> {
    let mut parser = Parser { rest: expression, depth: 0 };
    let value = parser.sum()?;
    parser.skip_blanks();
    if !parser.rest.is_empty() {
        let rest: String = parser.rest.chars().take(20).collect();
        return Err(format!("I cannot read the expression from `{rest}` on"));
    }
    if value.is_finite() { Ok(value) } else { Err("the result is not a finite number".to_owned()) }
}

/// Recursive descent, lowest precedence first.
struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, symbols: &[char]) -> Option<char> {
        self.skip_blanks();
        let first = self.rest.chars().next().filter(|c| symbols.contains(c))?;
        self.rest = &self.rest[first.len_utf8()..];
        Some(first)
    }

    fn sum(&mut self) -> Result<f64, String> {
        let mut value = self.product()?;
        while let Some(sign) = self.take(&['+', '-', '−']) {
            let next = self.product()?;
            value = if sign == '+' { value + next } else { value - next };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<f64, String> {
        let mut value = self.signed()?;
        while let Some(sign) = self.take(&['*', '×', '/', '÷', '%']) {
            let next = self.signed()?;
            value = match sign {
                '*' | '×' => value * next,
                _ if next == 0.0 => return Err("division by zero".to_owned()),
                '%' => value % next,
                _ => value / next,
            };
        }
        Ok(value)
    }

    fn signed(&mut self) -> Result<f64, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("the expression is nested more than {DEPTH} deep"));
        }
        let value = match self.take(&['-', '−', '+']) {
            Some('+') => self.signed(),
            Some(_) => self.signed().map(|value| -value),
            None => self.power(),
        };
        self.depth -= 1;
        value
    }

    fn power(&mut self) -> Result<f64, String> {
        let base = self.atom()?;
        // Right-associative: 2^3^2 is 2^9.
        match self.take(&['^']) {
            Some(_) => Ok(base.powf(self.signed()?)),
            None => Ok(base),
        }
    }

    fn atom(&mut self) -> Result<f64, String> {
        if self.take(&['(']).is_some() {
            let value = self.sum()?;
            return self.take(&[')']).map(|_| value).ok_or_else(|| "a bracket is not closed".to_owned());
        }
        self.skip_blanks();
        let word: String = self.rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
        if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.rest = &self.rest[word.len()..];
            return self.named(&word);
        }
        let length = number_length(self.rest);
        let (number, rest) = self.rest.split_at(length);
        self.rest = rest;
        number.replace('_', "").parse().map_err(|_| "a number is missing".to_owned())
    }

    fn named(&mut self, word: &str) -> Result<f64, String> {
        let function: fn(f64) -> f64 = match word {
            "pi" => return Ok(std::f64::consts::PI),
            "e" => return Ok(std::f64::consts::E),
            "sqrt" => f64::sqrt,
            "abs" => f64::abs,
            "ln" => f64::ln,
            "log10" | "log" => f64::log10,
            "sin" => f64::sin,
            "cos" => f64::cos,
            "tan" => f64::tan,
            "round" => f64::round,
            "floor" => f64::floor,
            "ceil" => f64::ceil,
            _ => return Err(format!("I do not know `{word}`")),
        };
        match self.take(&['(']) {
            Some(_) => {
                let value = self.sum()?;
                self.take(&[')']).map(|_| function(value)).ok_or_else(|| "a bracket is not closed".to_owned())
            }
            None => Err(format!("`{word}` needs brackets")),
        }
    }
}

/// Length of the number at the front: digits, `_`, a point, an exponent.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'_').count();
    let mut length = digits(0);
    if bytes.get(length) == Some(&b'.') {
        length += 1 + digits(length + 1);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let exponent = bytes.get(length + 1 + sign..).map_or(0, |_| digits(length + 1 + sign));
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_follows_the_usual_precedence() {
        for (expression, value) in [
            ("1 + 2 * 3", "7"),
            ("(1+2)*3", "9"),
            ("2^3^2", "512"),
            ("-2^2", "-4"),
            ("7 % 4 - -1", "4"),
            ("0.1 + 0.2", "0.3"),
            ("sqrt(16) + abs(-2)", "6"),
            ("1_000 × 2.5e3", "2500000"),
            ("round(2.5)", "3"),
            ("2*pi", "6.28318530718"),
        ] {
            assert_eq!(evaluate(expression).map(render), Ok(value.to_owned()), "{expression}");
        }
    }

    #[test]
    fn what_cannot_be_calculated_is_said() {
        for (expression, part) in [
            ("1/0", "division by zero"),
            ("2 +", "number is missing"),
            ("(1", "not closed"),
            ("rm -rf", "do not know `rm`"),
            ("1 2", "from `2` on"),
            ("sqrt 4", "needs brackets"),
            ("10^400", "not a finite"),
            ("sqrt(-1)", "not a finite"),
            (&"-".repeat(400), "nested"),
            (&"(".repeat(400), "nested"),
            ("é", "number is missing"),
        ] {
            let fault = evaluate(expression).unwrap_err();
            assert!(fault.contains(part), "{expression}: {fault}");
        }
    }
}
