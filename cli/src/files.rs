//! The report files of `elu check` and `elu bench`: JSON and charts.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use crate::{
    output::Output,
    plot::{Chart, Picture},
};

/// The arguments that name the report files.
#[derive(clap::Args)]
pub(crate) struct FileArgs {
    /// Write the results as JSON to FILE, or to standard output for `-`
    ///
    /// If they go to standard output, the table is not printed. docs/cli.md in the repository lists the fields.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw a chart into FILE, a .svg or .png file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Replace the files of --json and --plot if they exist
    #[arg(short, long)]
    force: bool,
}

impl FileArgs {
    /// Returns whether a chart is requested.
    pub(crate) fn has_plot(&self) -> bool {
        self.plot.is_some()
    }
}

/// The checked outputs for `--json` and `--plot`.
pub(crate) struct Files {
    json: Option<Output>,
    plot: Option<(Picture, Output)>,
}

impl Files {
    /// Checks the arguments and that both files can be written, before the work starts.
    pub(crate) fn open(args: &FileArgs) -> Result<Self> {
        let open = |path: &PathBuf| Output::open(path, args.force);
        let json = args.json.as_ref().map(open).transpose()?;
        let plot = args.plot.as_ref().map(|path| {
            let picture = Picture::by_extension(path)?;
            Ok::<_, anyhow::Error>((picture, open(path)?))
        });
        let plot = plot.transpose()?;
        if let (Some(json), Some((_, plot))) = (&json, &plot)
            && json.is_same_file(plot)
        {
            return Err(crate::usage(
                "--json and --plot name the same file, needed two files",
            ));
        }
        Ok(Self { json, plot })
    }

    /// Writes the table to standard output, unless the JSON goes there, and the files. Tries all of them. If several
    /// fail, prints all errors except the last, which it returns. Ignores a broken pipe if anything else failed.
    pub(crate) fn write(self, chart: &impl Chart, json: &Value, table: &str) -> Result<()> {
        let json_is_on_stdout = matches!(self.json, Some(Output::Stdout));
        let json = self
            .json
            .map(|output| output.write_text(&format!("{json:#}\n")));
        let plot = self
            .plot
            .map(|(picture, output)| output.write(&picture.draw(chart)?));
        let table = (!json_is_on_stdout)
            .then(|| Output::stdout().and_then(|stdout| stdout.write_text(table)));
        let results = [json, plot, table];
        // `main` treats a broken pipe as success, so it must not hide another error.
        let (mut broken_pipes, mut others) = results
            .into_iter()
            .flatten()
            .filter_map(Result::err)
            .partition::<Vec<_>, _>(crate::is_broken_pipe);
        let last = others.pop().or_else(|| broken_pipes.pop());
        for error in others {
            crate::report(&format!("{error:#}"));
        }
        last.map_or(Ok(()), Err)
    }
}
