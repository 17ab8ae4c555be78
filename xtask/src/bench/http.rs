//! As much of an HTTP/1.1 client as a measurement needs: one connection, one request at a time.
//!
//! In: a request in one piece. Out: status, header fields and the whole body. What takes longer
//! than ten minutes is an error.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// A flush of twenty million spans answers when it is done.
const ANSWER_TIME_MAX: Duration = Duration::from_mins(10);

pub(super) struct Connection {
    address: String,
    reader: BufReader<TcpStream>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Connection {
    pub(super) fn open(address: &str) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        Ok(Self { address: address.to_owned(), reader: BufReader::new(stream) })
    }

    pub(super) fn get(&mut self, path: &str, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.ask("GET", path, fields, &[])
    }

    pub(super) fn post(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        self.ask("POST", path, fields, body)
    }

    fn ask(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in fields {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n", body.len());
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        self.reader.get_mut().write_all(&request)?;
        self.answer().with_context(|| format!("{method} {path}"))
    }

    fn answer(&mut self) -> anyhow::Result<Answer> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("no status in `{line}`"))?;
        let mut answer = Answer { status, fields: Vec::new(), body: Vec::new() };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            answer.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if answer.field("transfer-encoding") == Some("chunked") {
            answer.body = self.chunks()?;
        } else {
            let length = answer.field("content-length").unwrap_or("0");
            answer.body = self.bytes(length.parse().context("content-length")?)?;
        }
        Ok(answer)
    }

    fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line()?, 16).context("length of a chunk")?;
            body.extend(self.bytes(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        ensure!(line.ends_with('\n'), "the server closed the connection");
        Ok(line.trim_end().to_owned())
    }

    fn bytes(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Answer {
    /// A header field by its name in small letters.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body of an answer that is no refusal.
    pub(super) fn accepted(self) -> anyhow::Result<Vec<u8>> {
        let text = String::from_utf8_lossy(&self.body);
        ensure!((200..300).contains(&self.status), "answered {}: {text}", self.status);
        Ok(self.body)
    }
}
