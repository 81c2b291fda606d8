//! Reads metrics where they are counted already: in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), as this process writes it.

use super::Bucket;

/// All metrics of the process as text.
pub(super) struct Exposition<'a>(pub(super) &'a str);

impl<'a> Exposition<'a> {
    /// A counter or gauge, added up over its labels; `None` if it is not there.
    pub(super) fn sum(&self, name: &str) -> Option<u64> {
        let values: Vec<f64> = self.samples(name).map(|(_, value)| value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() as u64)
    }

    /// A histogram of seconds without labels, as counts of each bucket alone.
    pub(super) fn buckets(&self, name: &str) -> Vec<Bucket> {
        let mut below = 0;
        let samples = self.samples_of(format!("{name}_bucket")).into_iter();
        samples
            .filter_map(|(labels, value)| {
                let bound = labels.split_once("le=\"")?.1.split('"').next()?;
                let up_to_ms = if bound == "+Inf" { None } else { Some(bound.parse::<f64>().ok()? * 1_000.0) };
                let up_to_here = value as u64;
                let count = up_to_here.saturating_sub(below);
                below = up_to_here;
                Some(Bucket { up_to_ms, count })
            })
            .collect()
    }

    fn samples_of(&self, name: String) -> Vec<(&'a str, f64)> {
        self.samples(&name).collect()
    }

    /// Labels and value of each line of a metric.
    fn samples(&self, name: &str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                // No label's value has a brace.
                Some(rest) => rest.split_once('}')?,
                None => ("", rest.strip_prefix(' ')?),
            };
            Some((labels, value.trim().parse().ok()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE a_total counter\na_total 3\na_total_more 9\n\nb{x=\"1\"} 2\nb{x=\"2\"} 4.0\n\
         c_seconds_bucket{le=\"0.001\"} 1\nc_seconds_bucket{le=\"0.01\"} 5\nc_seconds_bucket{le=\"+Inf\"} 6\n\
         c_seconds_sum 0.5\nc_seconds_count 6\n";

    #[test]
    fn metrics_are_found_by_their_names() {
        let metrics = Exposition(TEXT);
        let cases = [("a_total", Some(3)), ("a", None), ("b", Some(6)), ("c_seconds_count", Some(6)), ("d", None)];
        for (name, expected) in cases {
            assert_eq!(metrics.sum(name), expected, "{name}");
        }
        let buckets: Vec<_> = metrics.buckets("c_seconds").iter().map(|one| (one.up_to_ms, one.count)).collect();
        assert_eq!(buckets, [(Some(1.0), 1), (Some(10.0), 4), (None, 1)]);
        assert!(metrics.buckets("a_total").is_empty());
    }
}
