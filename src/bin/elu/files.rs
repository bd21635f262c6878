//! Where the reports of `elu check` and `elu bench` go.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    output::Output,
    plot::{Chart, Picture},
};

/// What `--json` and `--plot` name.
pub(crate) struct Files {
    json: Option<Output>,
    plot: Option<(Picture, Output)>,
}

impl Files {
    pub(crate) fn open(json: Option<&Path>, plot: Option<&Path>, replace: bool) -> Result<Self> {
        let open = |path| Output::open(path, replace);
        let json = json.map(open).transpose()?;
        let plot =
            plot.map(|path| Ok::<_, anyhow::Error>((Picture::by_extension(path)?, open(path)?)));
        let plot = plot.transpose()?;
        if let (Some(json), Some((_, plot))) = (&json, &plot) {
            ensure!(
                !json.is_same_file(plot),
                "--json and --plot name the same file, needed two"
            );
        }
        Ok(Self { json, plot })
    }

    /// The table goes to standard output, unless the JSON does.
    pub(crate) fn write(self, chart: &impl Chart, json: &Value, table: &str) -> Result<()> {
        let to_stdout = matches!(self.json, Some(Output::Stdout));
        // Files first: a table that nobody listens to is no reason to lose them.
        if let Some((picture, output)) = self.plot {
            let bytes = picture.draw(chart)?;
            output.write(&bytes)?;
        }
        if let Some(output) = self.json {
            output.write_text(&format!("{json:#}\n"))?;
        }
        if to_stdout {
            return Ok(());
        }
        Output::Stdout.write_text(table)
    }
}
