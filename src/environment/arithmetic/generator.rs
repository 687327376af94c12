//! Seeded expressions in disjoint splits.

use espalier_search::Problem;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::expression::{Expression, Operator, Token};
use super::{Arithmetic, problem, split_of};
use crate::environment::distinct::distinct;
use crate::environment::kind::ProblemGenerator;
use crate::environment::split::Split;
use crate::seed;

/// How hard the generated expressions are. All bounds are inclusive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeneratorRecipe {
    /// How many operations an expression has: least and most, in 3 ..= 12. An expression of two has right solutions of one order
    /// alone, or nothing to learn: random lines from which right solutions are left out would teach the wrong order for certain.
    pub operations: [usize; 2],
    /// The numbers lie in 1..=max_value.
    pub max_value: i64,
    /// No result on the way to the answer is larger, with either sign.
    pub max_result: i64,
    /// The probability that an operand is an expression in parentheses, where operations are left for it; in [0, 1].
    pub parentheses: f64,
    /// The operations that occur, of `+-*/`; each as often as it is written.
    pub operators: String,
}

impl Default for GeneratorRecipe {
    fn default() -> Self {
        Self {
            operations: [3, 5],
            max_value: 20,
            max_result: 1000,
            parentheses: 0.3,
            operators: "+-*/".to_owned(),
        }
    }
}

impl ProblemGenerator<Arithmetic> for GeneratorRecipe {
    fn validate(&self) -> Result<(), String> {
        let [least, most] = self.operations;
        if least < 3 || most < least || most > 12 {
            return Err(format!(
                "operations = [{least}, {most}] must be [least, most] with 3 <= least <= most <= 12"
            ));
        }
        for (key, value) in [("max_value", self.max_value), ("max_result", self.max_result)] {
            if !(1..=1_000_000).contains(&value) {
                return Err(format!("{key} = {value} must lie in 1..=1000000"));
            }
        }
        if !(0.0..=1.0).contains(&self.parentheses) {
            return Err(format!("parentheses = {} must be in [0, 1]", self.parentheses));
        }
        let known = self.operators.chars().all(|symbol| Operator::from_symbol(symbol).is_some());
        if self.operators.is_empty() || !known {
            return Err(format!("operators = {:?} must be some of \"+-*/\"", self.operators));
        }
        Ok(())
    }

    /// Every division is exact, and at least one operation that can be rewritten at once is not to be: where each order is right
    /// there is nothing to learn.
    fn generate(
        &self,
        _: &Arithmetic,
        split: Split,
        count: usize,
        seed: u64,
    ) -> Result<Vec<Problem>, String> {
        self.validate()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed::derive(seed, &["arithmetic problems"]));
        let [least, most] = self.operations;
        let bounds = format!("split {split:?}, {self:?}");
        let problems = distinct(count, &bounds, || {
            let mut left = rng.random_range(least..=most);
            let mut tokens = Vec::new();
            self.chain(&mut left, &mut tokens, &mut rng);
            let expression = Expression::new(tokens);
            let value = expression.value_within(self.max_result)?;
            let fits = split_of(&expression.to_string()) == split && can_go_wrong(&expression);
            fits.then_some((expression, value))
        })?;
        let problem = |(index, (expression, value)): (usize, (Expression, i64))| {
            problem(format!("arithmetic-{}-{seed}-{index}", split.name()), &expression, value)
        };
        Ok(problems.into_iter().enumerate().map(problem).collect())
    }
}

impl GeneratorRecipe {
    /// Adds operands with the operations that are left between them.
    fn chain(&self, left: &mut usize, tokens: &mut Vec<Token>, rng: &mut ChaCha8Rng) {
        // Parentheses around all of it would be idle.
        self.operand(left, left.saturating_sub(1), tokens, rng);
        while *left > 0 {
            *left -= 1;
            let index = rng.random_range(0..self.operators.len());
            let operator = self.operators.chars().nth(index).and_then(Operator::from_symbol);
            tokens.extend(operator.map(Token::Operator));
            self.operand(left, *left, tokens, rng);
        }
    }

    /// Adds a number, or up to `most` of the operations that are left in parentheses.
    fn operand(
        &self,
        left: &mut usize,
        most: usize,
        tokens: &mut Vec<Token>,
        rng: &mut ChaCha8Rng,
    ) {
        if most >= 1 && rng.random_bool(self.parentheses) {
            let mut inside = rng.random_range(1..=most);
            *left -= inside;
            tokens.push(Token::Open);
            self.chain(&mut inside, tokens, rng);
            tokens.push(Token::Close);
        } else {
            tokens.push(Token::Number(rng.random_range(1..=self.max_value)));
        }
    }
}

/// Whether some operation that has a result changes the expression's value when it is rewritten first.
fn can_go_wrong(expression: &Expression) -> bool {
    let value = expression.value();
    expression.operations().into_iter().any(|operation| {
        expression.rewrite(operation).is_ok_and(|(_, after)| after.value() != value)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn problems_are_exact_different_and_of_disjoint_splits() {
        let recipe = GeneratorRecipe { parentheses: 0.5, ..GeneratorRecipe::default() };
        let mut seen = HashSet::new();
        let mut parenthesised = 0;
        for (split, seed) in [(Split::Train, 1), (Split::Validation, 2), (Split::Test, 3)] {
            for problem in recipe.generate(&Arithmetic {}, split, 60, seed).unwrap() {
                let text = problem.metadata["expression"].as_str().unwrap();
                let expression = Expression::parse(text).unwrap();
                assert_eq!(expression.value().unwrap().to_string(), problem.answer, "{text}");
                assert!(can_go_wrong(&expression), "{text}");
                assert_eq!(split_of(text), split);
                let operations = text.matches(['+', '*', '/', '-']).count();
                assert!((3..=5).contains(&operations), "{text}");
                parenthesised += usize::from(text.contains('('));
                assert!(seen.insert(text.to_owned()), "{text} occurs twice");
            }
        }
        assert!((60..180).contains(&parenthesised), "{parenthesised}");
    }

    #[test]
    fn the_same_seed_gives_the_same_problems_and_more_only_adds() {
        let recipe = GeneratorRecipe::default();
        let some = recipe.generate(&Arithmetic {}, Split::Train, 10, 5).unwrap();
        assert_eq!(some, recipe.generate(&Arithmetic {}, Split::Train, 20, 5).unwrap()[..10]);
        assert_ne!(some, recipe.generate(&Arithmetic {}, Split::Train, 10, 6).unwrap());
    }

    #[test]
    fn bad_settings_and_a_space_too_small_are_said() {
        let good = GeneratorRecipe::default;
        for (recipe, key) in [
            (GeneratorRecipe { operations: [2, 3], ..good() }, "operations"),
            (GeneratorRecipe { max_value: 0, ..good() }, "max_value"),
            (GeneratorRecipe { max_result: 0, ..good() }, "max_result"),
            (GeneratorRecipe { parentheses: f64::NAN, ..good() }, "parentheses"),
            (GeneratorRecipe { operators: "+%".to_owned(), ..good() }, "operators"),
        ] {
            assert!(recipe.validate().unwrap_err().starts_with(key), "{key}");
        }
        let few = GeneratorRecipe { operations: [3, 3], max_value: 2, ..good() };
        let error = few.generate(&Arithmetic {}, Split::Train, 10_000, 1).unwrap_err();
        assert!(error.contains("widen the bounds"), "{error}");
        // Sums are right in any order.
        let idle = GeneratorRecipe { operators: "+".to_owned(), ..good() };
        assert!(idle.generate(&Arithmetic {}, Split::Train, 1, 1).unwrap_err().contains("only 0"));
    }
}
