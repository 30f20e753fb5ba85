package icecast_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"playnode/internal/audio/frames"
	"playnode/publisher/icecast"
)

const (
	mp3    = "-c:a libmp3lame -b:a 128k -fflags +bitexact -f mp3"
	opus   = "-c:a libopus -b:a 96k -fflags +bitexact -f ogg"
	vorbis = "-c:a libvorbis -q:a 4 -fflags +bitexact -f ogg"
)

// What ffmpeg sends arrives byte for byte, by both protocols.
func TestFFmpeg(t *testing.T) {
	path, _ := music(t, 1.5)
	for _, c := range []struct{ name, more, codec, kind string }{
		{"mp3 by PUT", "", mp3, "audio/mpeg"},
		{"mp3 by SOURCE", "-legacy_icecast 1", mp3, "audio/mpeg"},
		{"opus by PUT", "", opus, "application/ogg"},
		{"vorbis by SOURCE", "-legacy_icecast 1", vorbis, "application/ogg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, addr := serve(t, icecast.Config{})
			args := fmt.Sprintf("%s -content_type %s %s -ice_genre drum&bass -ice_public 1", c.codec, c.kind, c.more)
			all := append(append([]string{"-v", "error", "-i", path}, strings.Fields(args)...), "-ice_name", "Ada  am Pult", "icecast://source:hackme@"+addr+"/live.x")
			cmd, out := program(t, nil, "ffmpeg", all...)
			x := accept(t, s)
			got, err := io.ReadAll(x)
			if err != nil {
				t.Errorf("it ends with %v", err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("ffmpeg: %v: %s", err, out)
			}
			if want := encoded(t, path, c.codec); !bytes.Equal(got, want) {
				t.Errorf("%d bytes arrive of %d, or others", len(got), len(want))
			}
			if x.Mount != "/live.x" || x.Number != 1 || x.Name != "Ada am Pult" || x.Genre != "drum&bass" || !x.Public || x.ContentType != c.kind || !strings.HasPrefix(x.Program, "Lavf") {
				t.Errorf("%+v", x.About)
			}
			if _, ok := x.Left(); !ok {
				t.Error("it has not left")
			}
		})
	}
}

// libshout asks first, without the password; ezstream sends a title beside the stream, oggfwd reads a pipe.
func TestLibshout(t *testing.T) {
	path, dir := music(t, 1)
	t.Run("ezstream", func(t *testing.T) {
		t.Parallel()
		s, addr := serve(t, icecast.Config{})
		b := encoded(t, path, "-metadata artist=Ada -metadata title=T&äst "+mp3)
		file, conf := filepath.Join(dir, "a.mp3"), filepath.Join(dir, "ezstream.xml")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		host, port, _ := net.SplitHostPort(addr)
		if err := os.WriteFile(conf, fmt.Appendf(nil, `<ezstream>
<servers><server><hostname>%s</hostname><port>%s</port><password>hackme</password><tls>none</tls></server></servers>
<streams><stream><mountpoint>/ez</mountpoint><format>MP3</format><stream_name>Ez</stream_name><stream_bitrate>128</stream_bitrate></stream></streams>
<intakes><intake><type>playlist</type><filename>%s</filename><stream_once>yes</stream_once></intake></intakes>
</ezstream>`, host, port, filepath.Join(dir, "list.m3u")), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "list.m3u"), []byte(file+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd, out := program(t, nil, "ezstream", "-c", conf)
		x := accept(t, s)
		got, err := io.ReadAll(x)
		if err != nil {
			t.Error(err)
		}
		cmd.Wait()                                             // at the end of a playlist it may say 1
		if b = b[frames.ID3v2Size(b):]; !bytes.Equal(got, b) { // ezstream keeps the tag to itself
			t.Errorf("%d bytes arrive of %d, or others: %s", len(got), len(b), out)
		}
		u := x.Updates()
		if len(u) == 0 || u[0].Title != "Ada - T&äst" || x.Name != "Ez" || x.Bitrate != 128 {
			t.Errorf("titles %+v, %+v", u, x.About)
		}
	})
	t.Run("oggfwd", func(t *testing.T) {
		t.Parallel()
		s, addr := serve(t, icecast.Config{})
		b := encoded(t, path, vorbis)
		host, port, _ := net.SplitHostPort(addr)
		cmd, out := program(t, bytes.NewReader(b), "oggfwd", "-n", "Og", host, port, "hackme", "/og")
		x := accept(t, s)
		got, err := io.ReadAll(x)
		if err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("oggfwd: %v: %s", err, out)
		}
		if !bytes.Equal(got, b) || x.Name != "Og" {
			t.Errorf("%d bytes arrive of %d, or others; %+v", len(got), len(b), x.About)
		}
	})
}

// curl sends a file whose length it tells, and a pipe in chunks; titles come beside it.
func TestCurl(t *testing.T) {
	path, dir := music(t, 1)
	b := encoded(t, path, opus)
	file := filepath.Join(dir, "a.opus")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"file":                      {"-T", file},
		"file, that does not ask":   {"-T", file, "-H", "Expect:"},
		"pipe":                      {"-T", "-"},
		"pipe, that does not ask":   {"-T", "-", "-H", "Expect:"},
		"pipe, that asks, to a 1.0": {"-T", "-", "-H", "Expect: 100-continue"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, addr := serve(t, icecast.Config{})
			cmd, out := program(t, bytes.NewReader(b), "curl", append(args, "-sS", "-u", "source:hackme", "http://"+addr+"/c")...)
			x := accept(t, s)
			first := make([]byte, 1000)
			if _, err := io.ReadFull(x, first); err != nil {
				t.Fatal(err)
			}
			at := "http://" + addr + "/admin/metadata?mode=updinfo&mount=/c&"
			for _, c := range []struct{ query, status string }{
				{"song=A%20-%20B%26%3Cb%3E", "200"},
				{"song=Bj%C3%B6rk", "200"},
				{"song=Bj%F6rk", "200"},
				{"song=Bj%C3%B6rk&charset=ISO-8859-1", "200"},
				{"artist=X&title=Y%0d%0aZ", "200"},
				{"song=" + strings.Repeat("%C3%A4", 400), "200"},
			} {
				if got := status(t, "-u", "source:hackme", at+c.query); got != c.status {
					t.Errorf("%.40s: %s", c.query, got)
				}
			}
			if got := status(t, "-u", "source:wrong", at+"song=no"); got != "401" {
				t.Errorf("a title without the password: %s", got)
			}
			if got := status(t, "-u", "source:hackme", "http://"+addr+"/admin/metadata?mode=updinfo&mount=/d&song=no"); got != "400" {
				t.Errorf("a title for nobody: %s", got)
			}
			rest, err := io.ReadAll(x)
			if err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("curl: %v: %s", err, out)
			}
			if !bytes.Equal(append(first, rest...), b) {
				t.Errorf("%d bytes arrive of %d, or others", 1000+len(rest), len(b))
			}
			var titles []string
			for _, u := range x.Updates() {
				titles = append(titles, u.Title)
				if u.Byte != 1000 || u.At.Before(x.Came) {
					t.Errorf("%q came at byte %d, %v", u.Title, u.Byte, u.At)
				}
			}
			if got := strings.Join(titles, "|"); got != "A - B&<b>|Björk|Björk|BjÃ¶rk|X - Y Z|"+strings.Repeat("ä", 256) {
				t.Errorf("titles %q", got)
			}
		})
	}
}

// A wrong password is 401, a second source of a mount 403; one that is killed makes room and comes back.
func TestComeAndGo(t *testing.T) {
	path, _ := music(t, 1)
	s, addr := serve(t, icecast.Config{Sources: 2})
	if got := status(t, "-T", path, "-u", "source:wrong", "http://"+addr+"/m"); got != "401" {
		t.Errorf("a wrong password: %s", got)
	}
	if got := status(t, "-T", path, "http://"+addr+"/m"); got != "401" {
		t.Errorf("no password: %s", got)
	}
	start := func(mount string) *exec.Cmd {
		cmd, _ := program(t, nil, "ffmpeg", append(append([]string{"-v", "error", "-re", "-stream_loop", "-1", "-i", path}, strings.Fields(mp3)...), "-flush_packets", "1", "icecast://source:hackme@"+addr+mount)...)
		return cmd
	}
	first := start("/m")
	x := accept(t, s)
	if _, err := io.ReadFull(x, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if got := status(t, "-T", path, "-u", "source:hackme", "http://"+addr+"/m"); got != "403" {
		t.Errorf("a second source: %s", got)
	}
	other := start("/n")
	y := accept(t, s)
	if got := status(t, "-T", path, "-u", "source:hackme", "http://"+addr+"/o"); got != "403" {
		t.Errorf("a third mount of two: %s", got)
	}
	first.Process.Kill()
	first.Wait()
	if _, err := io.Copy(io.Discard, x); err != nil {
		t.Logf("the killed one: %v", err)
	}
	if _, ok := x.Left(); !ok {
		t.Error("it has not left")
	}
	again := start("/m")
	x = accept(t, s)
	if x.Mount != "/m" || x.Number != 2 || y.Number != 1 {
		t.Errorf("%s, number %d and %d", x.Mount, x.Number, y.Number)
	}
	if _, err := io.ReadFull(x, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	x.Close()
	y.Close()
	if _, err := io.ReadFull(x, make([]byte, 1<<20)); err == nil {
		t.Error("what was hung up on goes on")
	}
	for _, cmd := range []*exec.Cmd{other, again} {
		cmd.Process.Kill()
		cmd.Wait()
	}
}
