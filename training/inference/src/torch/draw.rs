//! Drawing tokens where the logits are: by the rules of [`crate::sampling`] and from the same random numbers. A
//! row is as long as the vocabulary, so that bringing it to the host would take longer than the pass that it comes from.

use espalier_torch::error::Result;
use pulp::Arch;
use tch::{Device, Kind, Tensor};

use super::to_device;
use crate::sampling::{Ask, Distribution, Draw, Drawn, Draws, OfSamples, SamplingConfig};

/// Rows that are drawn from at a time: what is computed of each takes several times the memory of its logits.
const ROWS: usize = 256;

/// Draws what is asked for after each row of `logits` `[asks, vocab_size]`; `None` where they are not finite.
pub fn draw(logits: &Tensor, asks: &[Ask], sampling: SamplingConfig) -> Result<Vec<Option<Drawn>>> {
    let mut drawn = Vec::with_capacity(asks.len());
    let mut first = 0;
    for asks in asks.chunks(ROWS) {
        let rows = asks.len() as i64;
        let logits = logits.f_narrow(0, first, rows)?;
        let each = draw_rows(&logits, asks, sampling)?.into_iter();
        drawn.extend(each.map(|draws| draws.map(Drawn::Each)));
        for (row, ask) in (0..).zip(asks) {
            if matches!(ask.draws, Draws::Branches(_)) {
                drawn[(first + row) as usize] =
                    draw_on_host(&logits.f_select(0, row)?, ask, sampling)?;
            }
        }
        first += rows;
    }
    Ok(drawn)
}

/// Draws after one row where one token after the other is taken out: a device would be asked for each.
fn draw_on_host(logits: &Tensor, ask: &Ask, sampling: SamplingConfig) -> Result<Option<Drawn>> {
    let numbers: Vec<f32> = to_host(logits)?.into_iter().map(|logit| logit as f32).collect();
    let mut distribution = Distribution::default();
    let read = distribution.read(Arch::new(), &numbers, ask.temperature, sampling);
    Ok(read.map(|()| distribution.answer(&numbers, &ask.draws)))
}

/// Log-probability at temperature 1 of one token after each row of `logits`; not finite where the row is not.
pub fn log_probs(logits: &Tensor, tokens: &[u32]) -> Result<Vec<f64>> {
    let tokens: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
    let tokens = to_device(&tokens, logits.device())?.f_unsqueeze(1)?;
    let found = log_prob(logits, &tokens, &logits.f_logsumexp([1], true)?)?;
    to_host(&found)
}

fn log_prob(logits: &Tensor, tokens: &Tensor, normaliser: &Tensor) -> Result<Tensor> {
    Ok(logits.f_gather(1, tokens, false)?.f_sub(normaliser)?.f_clamp_max(0.0)?)
}

fn to_host(numbers: &Tensor) -> Result<Vec<f64>> {
    let numbers = numbers.f_to_kind(Kind::Double)?.f_contiguous()?.f_to_device(Device::Cpu)?;
    let mut values = vec![0.0; numbers.numel()];
    numbers.f_copy_data(&mut values, numbers.numel())?;
    Ok(values)
}

fn draw_rows(
    logits: &Tensor,
    asks: &[Ask],
    sampling: SamplingConfig,
) -> Result<Vec<Option<OfSamples<Draw>>>> {
    // A row that wants none is given one that nobody reads.
    let samples = asks.iter().map(|ask| ask.draws.each().len()).max().unwrap_or(0).max(1);
    // The first of equals.
    let likeliest = logits.f_argmax(1, true)?;
    let tokens = if asks.iter().all(|ask| ask.temperature == 0.0) {
        likeliest.f_expand([-1, samples as i64], false)?
    } else {
        sample(logits, asks, samples, &likeliest, sampling)?
    };
    let normaliser = logits.f_logsumexp([1], true)?;
    let found = [tokens.shallow_clone(), log_prob(logits, &tokens, &normaliser)?, normaliser];
    let found = found.iter().map(|part| part.f_to_kind(Kind::Double));
    let found = Tensor::f_cat(&found.collect::<std::result::Result<Vec<_>, _>>()?, 1)?;
    let found = to_host(&found)?;
    let row = |(ask, found): (&Ask, &[f64])| {
        let (tokens, rest) = found.split_at(samples);
        let (log_probs, normaliser) = rest.split_at(samples);
        let drawn = tokens.iter().zip(log_probs).take(ask.draws.each().len());
        let draw = |(&token, &log_prob): (&f64, &f64)| Draw { token: token as u32, log_prob };
        normaliser[0].is_finite().then(|| drawn.map(draw).collect())
    };
    Ok(asks.iter().zip(found.chunks_exact(2 * samples + 1)).map(row).collect())
}

/// Tokens `[asks, samples]`, those of rows that want fewer samples filled up with any.
fn sample(
    logits: &Tensor,
    asks: &[Ask],
    samples: usize,
    likeliest: &Tensor,
    sampling: SamplingConfig,
) -> Result<Tensor> {
    let device = logits.device();
    let column = |numbers: &[f32]| -> Result<Tensor> {
        Ok(Tensor::f_from_slice(numbers)?.f_unsqueeze(1)?.f_to_device(device)?)
    };
    let temperatures: Vec<f32> = asks.iter().map(|ask| ask.temperature).collect();
    let mut uniforms = vec![0.0; asks.len() * samples];
    for (row, ask) in uniforms.chunks_exact_mut(samples).zip(asks) {
        row[..ask.draws.each().len()].copy_from_slice(ask.draws.each());
    }
    let uniforms = Tensor::f_from_slice(&uniforms)?.f_view([-1, samples as i64])?;

    let temperatures = column(&temperatures)?;
    let greedy = temperatures.f_eq(0.0)?;
    let terms = logits.f_sub(&logits.f_amax([1], true)?)?;
    let mut terms = terms.f_div(&temperatures.f_masked_fill(&greedy, 1.0)?)?;
    let terms = filter(terms.f_exp_()?, sampling)?;
    // Shares that are summed in 32 bits would leave a token of a large vocabulary none.
    let shares = terms.f_cumsum(1, Kind::Double)?;
    let last = shares.size()[1] - 1;
    let marks = uniforms.f_to_device(device)?.f_mul(&shares.f_narrow(1, last, 1)?)?;
    let found = marks.f_searchsorted(&shares, false, true, "right", None::<Tensor>)?;
    // Rounding can leave a mark beyond the last token; the most likely one takes it.
    let none = found.f_gt(last)?.f_logical_or(&greedy)?;
    Ok(likeliest.f_where_self(&none, &found)?)
}

/// Sets the terms of tokens that may not be drawn to 0. The largest term is 1.
fn filter(mut terms: Tensor, sampling: SamplingConfig) -> Result<Tensor> {
    let SamplingConfig { top_k, top_p, min_p } = sampling;
    let size = terms.size()[1];
    if (1..size as usize).contains(&top_k) {
        let (largest, _) = terms.f_topk(top_k as i64, 1, true, true)?;
        let kth = largest.f_narrow(1, top_k as i64 - 1, 1)?;
        terms = terms.f_masked_fill(&terms.f_lt_tensor(&kth)?, 0.0)?;
    }
    let mut least = None;
    if top_p < 1.0 {
        let (sorted, _) = terms.f_sort(1, true)?;
        let reached = sorted.f_cumsum(1, Kind::Double)?;
        let nucleus = reached.f_narrow(1, size - 1, 1)?.f_mul_scalar(f64::from(top_p))?;
        let last = nucleus.f_searchsorted(&reached, false, false, "left", None::<Tensor>)?;
        let last = sorted.f_gather(1, &last.f_clamp_max(size - 1)?, false)?;
        least = Some(last.f_clamp_min(f64::from(min_p))?);
    } else if min_p > 0.0 {
        least = Some(Tensor::f_full([1], f64::from(min_p), (terms.kind(), terms.device()))?);
    }
    Ok(match least {
        Some(least) => terms.f_masked_fill(&terms.f_lt_tensor(&least)?, 0.0)?,
        None => terms,
    })
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::Rng;
    use smallvec::smallvec;

    use super::*;
    use crate::branching::{Branches, Rank};
    use crate::sampling::uniform;
    use espalier_model::random::stream;

    const ALL: SamplingConfig = SamplingConfig { top_k: 0, top_p: 1.0, min_p: 0.0 };
    const WIDTH: usize = 700;

    fn logits(rows: usize) -> Vec<f32> {
        let mut rng = stream(11, [0, 0]);
        (0..rows * WIDTH).map(|_| (rng.next_u64() >> 40) as f32 / (1 << 21) as f32).collect()
    }

    fn matrix(logits: &[f32]) -> Tensor {
        Tensor::from_slice(logits).view([-1, WIDTH as i64]).to_device(Device::cuda_if_available())
    }

    fn each(drawn: Option<Drawn>) -> OfSamples<Draw> {
        match drawn {
            Some(Drawn::Each(draws)) => draws,
            _ => panic!("a row is finite and each sample is drawn by itself"),
        }
    }

    #[test]
    fn rows_whose_tokens_are_taken_out_are_drawn_as_on_the_host_among_others() {
        let branches = |row: usize| Branches::new(4, Rank::ALL, 5, &[row as u32]);
        let asks: Vec<Ask> = (0..ROWS + 3)
            .map(|row| Ask {
                temperature: [1.0, 0.6][row % 2],
                draws: match row % 3 {
                    0 => Draws::Each(smallvec![0.5]),
                    _ => Draws::Branches(branches(row)),
                },
            })
            .collect();
        let logits = logits(asks.len());
        let found = draw(&matrix(&logits), &asks, ALL).unwrap();
        assert_eq!(found.len(), asks.len());
        let mut distribution = Distribution::default();
        for (row, (found, logits)) in found.into_iter().zip(logits.chunks(WIDTH)).enumerate() {
            match found.unwrap() {
                Drawn::Each(draws) => assert!(row % 3 == 0 && draws.len() == 1),
                Drawn::Branches(found) => {
                    let temperature = asks[row].temperature;
                    distribution.read(Arch::new(), logits, temperature, ALL).unwrap();
                    let expected = branches(row).draw(&mut distribution, logits);
                    assert!(row % 3 > 0 && expected.len() == 4 && found == expected, "{row}");
                }
            }
        }
        // Alone in their pass too.
        assert!(draw(&matrix(&logits[..WIDTH]), &asks[1..2], ALL).unwrap()[0].is_some());
    }

    #[test]
    fn the_same_numbers_draw_the_same_tokens_as_on_the_host() {
        let mut rng = stream(12, [0, 0]);
        let asks: Vec<Ask> = (0..2 * ROWS + 3)
            .map(|row| Ask {
                temperature: [1.0, 0.0, 0.6, 1.7][row % 4],
                draws: Draws::Each((0..row % 6).map(|_| uniform(&mut rng)).collect()),
            })
            .collect();
        let logits = logits(asks.len());
        for sampling in [
            ALL,
            SamplingConfig { top_k: 7, ..ALL },
            SamplingConfig { top_k: WIDTH, ..ALL },
            SamplingConfig { top_p: 0.7, ..ALL },
            SamplingConfig { min_p: 0.3, ..ALL },
            SamplingConfig { top_k: 40, top_p: 0.9, min_p: 0.05 },
        ] {
            let found = draw(&matrix(&logits), &asks, sampling).unwrap();
            let mut distribution = Distribution::default();
            for ((ask, found), logits) in asks.iter().zip(found).zip(logits.chunks(WIDTH)) {
                let found = each(found);
                assert_eq!(found.len(), ask.draws.each().len());
                distribution.read(Arch::new(), logits, ask.temperature, sampling).unwrap();
                for (&uniform, found) in ask.draws.each().iter().zip(found) {
                    let expected = distribution.draw(logits, uniform);
                    assert_eq!(found.token, expected.token, "{sampling:?}, {uniform}");
                    assert!((found.log_prob - expected.log_prob).abs() < 1e-5, "{sampling:?}");
                }
            }
        }
    }

    #[test]
    fn a_mark_beyond_the_last_token_and_equal_logits_are_settled_as_on_the_host() {
        let mut row = vec![0.0; WIDTH];
        row[3] = 5.0;
        row[9] = 5.0;
        let asks = [
            Ask { temperature: 0.0, draws: Draws::Each(smallvec![0.9]) },
            // Not a number that is drawn: it stands for what rounding can make of one.
            Ask { temperature: 1.0, draws: Draws::Each(smallvec![1.0, 0.0]) },
        ];
        let mut found = draw(&matrix(&[&row[..], &row].concat()), &asks, ALL).unwrap();
        let mut tokens = |row: usize| -> Vec<u32> {
            each(found[row].take()).iter().map(|draw| draw.token).collect()
        };
        assert_eq!((tokens(0), tokens(1)), (vec![3], vec![3, 0]));
    }

    #[test]
    fn rows_that_are_not_finite_are_told_from_those_that_are() {
        let mut rows = logits(4);
        rows[WIDTH + 5] = f32::NAN;
        rows[2 * WIDTH] = f32::INFINITY;
        rows[3 * WIDTH + 1] = f32::NEG_INFINITY;
        let ask = || Ask { temperature: 1.0, draws: Draws::Each(smallvec![0.5]) };
        let asks: Vec<Ask> = (0..4).map(|_| ask()).collect();
        let finite = [true, false, false, true];
        let found = draw(&matrix(&rows), &asks, ALL).unwrap();
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), finite);
        let found = log_probs(&matrix(&rows), &[0, 1, 2, 3]).unwrap();
        assert_eq!(found.iter().map(|number| number.is_finite()).collect::<Vec<_>>(), finite);
    }
}
