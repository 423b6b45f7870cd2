//! The streams of a command over SPDY/3.1, in which kubectl before 1.30 (and older client libraries) runs commands.
//! Only what they need of it: the client opens a stream each for errors and what it wants to read, the server answers
//! each, writes, and ends them.

use std::collections::BTreeMap;
use std::time::Duration;

use flate2::{Decompress, FlushDecompress};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::exec::{Ran, status_of};

pub const PROTOCOL: &str = "SPDY/3.1";
/// What the streams mean: the last is a Status with the exit status in it.
pub const CHANNEL: &str = "v4.channel.k8s.io";

/// The longest frame that is read, and the most that its headers unpack to.
const FRAME: usize = 1 << 20;
const HEADERS: usize = 16 << 10;
/// How long a client may take to open its streams, or to read all and go.
const PATIENCE: Duration = Duration::from_secs(60);

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const PING: u16 = 6;
const HEADERS_FRAME: u16 = 8;
const FIN: u8 = 1;

/// Serves the streams of one command: those that are named here and the one for its status.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut connection: S, wanted: &[&str], ran: Result<Ran, String>) {
    let served = async {
        let mut session = Session::default();
        while !(session.has("error") && wanted.iter().all(|name| session.has(name))) {
            session.step(&mut connection).await?;
        }
        let (stdout, stderr) = ran.as_ref().map_or((&[][..], &[][..]), |ran| (&ran.stdout, &ran.stderr));
        let status = status_of(&ran).to_string();
        for (name, bytes) in [("stdout", stdout), ("stderr", stderr), ("error", status.as_bytes())] {
            if let Some(id) = session.streams.get(name) {
                write(&mut connection, *id, bytes).await?;
            }
        }
        // The client closes when it has read all.
        while session.step(&mut connection).await.is_some() {}
        Some(())
    };
    let _ = tokio::time::timeout(PATIENCE, served).await;
}

/// What the client has opened so far.
#[derive(Default)]
struct Session {
    /// Numbers of the streams by what they are for.
    streams: BTreeMap<String, u32>,
    headers: Headers,
    replied: bool,
}

impl Session {
    fn has(&self, name: &str) -> bool {
        self.streams.contains_key(name)
    }

    /// Reads one frame and answers it; nothing when the connection is over or not to be understood.
    async fn step<S: AsyncRead + AsyncWrite + Unpin>(&mut self, connection: &mut S) -> Option<()> {
        let mut head = [0; 8];
        connection.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
        let mut body = vec![0; Some(length).filter(|length| *length <= FRAME)?];
        connection.read_exact(&mut body).await.ok()?;
        // What the client sends to stdin goes nowhere.
        if head[0] & 0x80 == 0 {
            return Some(());
        }
        match u16::from_be_bytes([head[2], head[3]]) {
            SYN_STREAM => {
                let (id, _) = body.split_first_chunk::<4>()?;
                let headers = self.headers.read(body.get(10..)?)?;
                let kind = headers.into_iter().find(|(name, _)| name == "streamtype")?.1;
                self.streams.insert(kind, u32::from_be_bytes(*id) & 0x7fff_ffff);
                connection.write_all(&self.reply(*id)).await.ok()
            }
            HEADERS_FRAME => self.headers.read(body.get(4..)?).map(drop),
            PING => connection.write_all(&[&head[..], &body].concat()).await.ok(),
            _ => Some(()),
        }
    }

    /// Accepts a stream, with no headers: those are one zlib stream for the whole connection, here of stored blocks.
    /// The second of them is empty: at such a one a reader hands out what it has.
    fn reply(&mut self, id: [u8; 4]) -> Vec<u8> {
        const ZLIB: [u8; 2] = [0x78, 0x01];
        const NONE: [u8; 14] = [0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        let begin = if std::mem::replace(&mut self.replied, true) { &[][..] } else { &ZLIB };
        let body = [&id[..], begin, &NONE].concat();
        [&[0x80, 3, 0, SYN_REPLY as u8, 0, 0, 0, body.len() as u8][..], &body].concat()
    }
}

/// Writes all of a stream, and its end.
async fn write<S: AsyncWrite + Unpin>(connection: &mut S, id: u32, bytes: &[u8]) -> Option<()> {
    for part in bytes.chunks(32 << 10).chain([&[][..]]) {
        let flags = if part.is_empty() { FIN } else { 0 };
        let head = [id.to_be_bytes(), (u32::from(flags) << 24 | part.len() as u32).to_be_bytes()].concat();
        connection.write_all(&[&head, part].concat()).await.ok()?;
    }
    connection.flush().await.ok()
}

/// Unpacks blocks of headers, which all are one zlib stream that refers to a dictionary.
struct Headers {
    inflate: Decompress,
    begun: bool,
}

impl Default for Headers {
    fn default() -> Self {
        Self { inflate: Decompress::new(false), begun: false }
    }
}

impl Headers {
    fn read(&mut self, mut block: &[u8]) -> Option<Vec<(String, String)>> {
        if !std::mem::replace(&mut self.begun, true) {
            let flags = *block.get(1)?;
            let has_dictionary = flags & 0x20 != 0;
            block = block.get(if has_dictionary { 6 } else { 2 }..)?;
            if has_dictionary {
                // The library's own code takes no dictionary; what it unpacked before serves as one.
                let dictionary = dictionary();
                let length = u16::try_from(dictionary.len()).ok()?;
                let stored = [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &dictionary].concat();
                self.unpack(&stored)?;
            }
        }
        pairs(&self.unpack(block)?)
    }

    fn unpack(&mut self, packed: &[u8]) -> Option<Vec<u8>> {
        let mut unpacked = Vec::with_capacity(HEADERS);
        let before = self.inflate.total_in();
        self.inflate.decompress_vec(packed, &mut unpacked, FlushDecompress::Sync).ok()?;
        (self.inflate.total_in() - before == packed.len() as u64).then_some(unpacked)
    }
}

/// Names and values, each with its length before it.
fn pairs(mut block: &[u8]) -> Option<Vec<(String, String)>> {
    let number = |block: &mut &[u8]| {
        let (number, rest) = block.split_first_chunk::<4>()?;
        *block = rest;
        usize::try_from(u32::from_be_bytes(*number)).ok()
    };
    let text = |block: &mut &[u8]| {
        let length = number(block)?;
        let (text, rest) = block.split_at_checked(length)?;
        *block = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let (count, rest) = block.split_first_chunk::<4>()?;
    block = rest;
    (0..u32::from_be_bytes(*count)).map(|_| Some((text(&mut block)?, text(&mut block)?))).collect()
}

/// The dictionary of the protocol: words with their lengths before them, and a tail without.
fn dictionary() -> Vec<u8> {
    const WORDS: &str = "options,head,post,put,delete,trace,accept,accept-charset,accept-encoding,accept-language,\
        accept-ranges,age,allow,authorization,cache-control,connection,content-base,content-encoding,\
        content-language,content-length,content-location,content-md5,content-range,content-type,date,etag,expect,\
        expires,from,host,if-match,if-modified-since,if-none-match,if-range,if-unmodified-since,last-modified,\
        location,max-forwards,pragma,proxy-authenticate,proxy-authorization,range,referer,retry-after,server,te,\
        trailer,transfer-encoding,upgrade,user-agent,vary,via,warning,www-authenticate,method,get,status,200 OK,\
        version,HTTP/1.1,url,public,set-cookie,keep-alive,origin";
    const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
        203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
        403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
        Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
        chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
        text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
    let words = WORDS.split(',').flat_map(|word| [&(word.len() as u32).to_be_bytes()[..], word.as_bytes()].concat());
    words.chain(TAIL.bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two blocks of headers of one connection, packed by zlib with the dictionary.
    const ERROR: &str = "78bbe3c6a7c202a62346703a2b294a4dcc851625aca9a08006000000ffff";
    const STDOUT: &str = "02651c0c2960624ec90797d1c022bb08443300000000ffff";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn opened(id: u8, packed: &str) -> Vec<u8> {
        let body = [&[0, 0, 0, id, 0, 0, 0, 0, 0, 0][..], &bytes(packed)].concat();
        [&[0x80, 3, 0, 1, 0, 0, 0, body.len() as u8][..], &body].concat()
    }

    #[test]
    fn the_dictionary_is_that_of_the_protocol() {
        let (mut a, mut b) = (1u32, 0u32);
        for byte in dictionary() {
            a = (a + u32::from(byte)) % 65521;
            b = (b + a) % 65521;
        }
        assert_eq!((dictionary().len(), b << 16 | a), (1423, 0xe3c6_a7c2));
    }

    #[test]
    fn headers_are_unpacked() {
        let mut headers = Headers::default();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(headers.read(&bytes(ERROR)), Some(vec![pair("streamtype", "error")]));
        assert_eq!(headers.read(&bytes(STDOUT)), Some(vec![pair("streamtype", "stdout"), pair("port", "")]));
        assert_eq!(Headers::default().read(&bytes(STDOUT)), None);
    }

    #[tokio::test]
    async fn a_command_is_streamed() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let ran = Ran { stdout: b"HEALTH_OK\n".to_vec(), ..Ran::default() };
        let serving = tokio::spawn(async move { serve(server, &["stdout"], Ok(ran)).await });
        let ping = [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1];
        let stdin = [0, 0, 0, 5, 0, 0, 0, 2, b'h', b'i'];
        client.write_all(&[&opened(1, ERROR)[..], &ping, &stdin, &opened(3, STDOUT)].concat()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        serving.await.unwrap();
        let none = [0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        let status = br#"{"metadata":{},"status":"Success"}"#;
        let expected = [
            &[0x80, 3, 0, 2, 0, 0, 0, 20, 0, 0, 0, 1, 0x78, 0x01][..],
            &none,
            &ping,
            &[0x80, 3, 0, 2, 0, 0, 0, 18, 0, 0, 0, 3],
            &none,
            &[0, 0, 0, 3, 0, 0, 0, 10],
            b"HEALTH_OK\n",
            &[0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, status.len() as u8],
            status,
            &[0, 0, 0, 1, 1, 0, 0, 0],
        ];
        assert_eq!(answer, expected.concat());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, packed: Vec<u8>) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (mut client, server) = tokio::io::duplex(1 << 16);
                client.write_all(&bytes).await.unwrap();
                drop(client);
                serve(server, &["stdout"], Err("not recorded".into())).await;
            });
            let mut headers = Headers::default();
            headers.read(&[&[0x78, 0xbb, 0, 0, 0, 0][..], &packed].concat());
            headers.read(&packed);
        }
    }
}
