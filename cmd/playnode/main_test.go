package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"playnode/node/embedded/pack"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"playnode": main})
}

// TestScripts runs testdata/*.txtar: the command line as users type it, in
// processes of its own, under the race detector where the tests are.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			// Sockets' names are short; the work directory's is not.
			run, err := os.MkdirTemp("", "pn")
			if err != nil {
				return err
			}
			e.Defer(func() { os.RemoveAll(run) })
			e.Setenv("XDG_RUNTIME_DIR", run)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "serve": serve, "tone": tone, "get": get, "samples": samples, "flip": flip, "same": sameText,
			"nocores": nocores, "picture": picture, "plain": plain,
			"rot": rot, "page": page, "soonpage": soonPage, "soon": soon, "host": host, "firstline": firstLine,
		},
	})
}

// exits CODE PROGRAM ARG...: runs it and wants that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if x := (*exec.ExitError)(nil); errors.As(err, &x) {
		got = x.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%s exited %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// serve REPO [FLAG...]: runs a daemon on loopback until the script ends or
// stops it (kill REPO), and puts its address into $REPO_ADDR and its gateway
// into $REPO_GATEWAY, its metrics into $REPO_METRICS.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: [!] serve REPO [FLAG...]")
	}
	name := args[0]
	key := "daemon " + ts.MkAbs(name)
	if neg {
		stopDaemon(ts, key)
		return
	}
	exe, err := exec.LookPath("playnode")
	if err != nil {
		for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
			if p := filepath.Join(dir, "playnode"); exists(p) {
				exe = p
				break
			}
		}
	}
	c := exec.Command(exe, append([]string{"--repo", ts.MkAbs(name), "--json", "daemon", "--listen", "/ip4/127.0.0.1/tcp/0"}, args[1:]...)...)
	c.Dir = ts.MkAbs(".")
	c.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+ts.Getenv("XDG_RUNTIME_DIR"), "PATH="+ts.Getenv("PATH"))
	log, err := os.Create(ts.MkAbs(name + ".log"))
	ts.Check(err)
	c.Stderr = log
	out, err := c.StdoutPipe()
	ts.Check(err)
	ts.Check(c.Start())
	daemons.Store(key, c)
	ts.Defer(func() {
		if daemons.CompareAndDelete(key, c) {
			c.Process.Kill()
			c.Wait()
		}
		log.Close()
	})
	var ready struct {
		Ready   bool
		Addrs   []string
		Gateway string
		HTTP    string
		Metrics string
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &ready) != nil || !ready.Ready || len(ready.Addrs) == 0 {
		said, _ := os.ReadFile(log.Name())
		ts.Fatalf("daemon of %s is not ready: %q %v\n%s", name, line, err, said)
	}
	ts.Setenv(name+"_ADDR", ready.Addrs[0])
	ts.Setenv(name+"_GATEWAY", ready.Gateway)
	ts.Setenv(name+"_METRICS", ready.Metrics)
	ts.Setenv(name+"_HTTP", ready.HTTP)
}

// daemons are those that run, by their repo.
var daemons sync.Map

func stopDaemon(ts *testscript.TestScript, key string) {
	d, ok := daemons.LoadAndDelete(key)
	if !ok {
		ts.Fatalf("no %s", key)
	}
	c := d.(*exec.Cmd)
	ts.Check(c.Process.Signal(os.Interrupt))
	if err := c.Wait(); err != nil {
		ts.Fatalf("%s stopped badly: %v", key, err)
	}
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

// tone FILE HZ FRAMES RATE: writes a stereo 16-bit WAV of a sine.
func tone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: tone FILE HZ FRAMES RATE")
	}
	n := make([]int, 3)
	for i := range n {
		var err error
		n[i], err = strconv.Atoi(args[i+1])
		ts.Check(err)
	}
	hz, frames, rate := n[0], n[1], n[2]
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00")
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(rate))
	b = le.AppendUint32(b, uint32(4*rate))
	b = append(b, "\x04\x00\x10\x00data"...)
	b = le.AppendUint32(b, uint32(4*frames))
	le.PutUint32(b[4:], uint32(36+4*frames))
	for i := range frames {
		v := int16(8000 * math.Sin(2*math.Pi*float64(hz)*float64(i)/float64(rate)))
		b = le.AppendUint16(le.AppendUint16(b, uint16(v)), uint16(-v))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// get VAR PATH: puts a value of the last command's JSON (dots between keys,
// numbers for places in lists) into $VAR.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get VAR PATH")
	}
	out := strings.TrimSpace(ts.ReadFile("stdout"))
	lines := strings.Split(out, "\n")
	var v any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &v); err != nil {
		ts.Fatalf("stdout is not JSON: %v", err)
	}
	for _, k := range strings.Split(args[1], ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[k]
		case []any:
			i, err := strconv.Atoi(k)
			if err != nil || i >= len(x) {
				ts.Fatalf("no place %s in %s", k, args[1])
			}
			v = x[i]
		}
	}
	if f, ok := v.(float64); ok {
		v = strconv.FormatFloat(f, 'f', -1, 64)
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

// samples WAV FILE...: wants the WAV's samples to be those of the files, one
// after the other, bit for bit.
func samples(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] samples WAV FILE...")
	}
	var want []byte
	for _, f := range args[1:] {
		want = append(want, ts.ReadFile(f)[44:]...)
	}
	_, got, _ := strings.Cut(ts.ReadFile(args[0]), "data")
	if same := got[min(4, len(got)):] == string(want); same == neg {
		ts.Fatalf("%s: equal is %v (%d bytes, %d)", args[0], same, len(got)-4, len(want))
	}
}

// firstline FILE: waits until a program has written a line there, which is
// stdout from then on.
func firstLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: firstline FILE")
	}
	tick, late := time.NewTicker(50*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && bytes.Contains(b, []byte("\n")) {
			ts.Check(ts.Exec("head", "-n1", args[0]))
			return
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("no line in %s", args[0])
		}
	}
}

// picture FILE: writes a GIF.
func picture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: picture FILE")
	}
	var b bytes.Buffer
	ts.Check(gif.Encode(&b, image.NewGray(image.Rect(0, 0, 300, 200)), nil))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o600))
}

// plain GATEWAY CID FILE: fetches a file of one leaf as any IPFS gateway's
// client does.
func plain(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: plain GATEWAY CID FILE")
	}
	res, err := http.Get("http://" + args[0] + "/ipfs/" + args[1] + "?format=raw")
	ts.Check(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	ts.Check(err)
	if res.StatusCode != http.StatusOK {
		ts.Fatalf("%s: %s", args[1], res.Status)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), b, 0o600))
}

// same A B: wants two values to be equal.
func sameText(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] same A B")
	}
	if (args[0] == args[1]) == neg {
		ts.Fatalf("%q and %q: equal is %v", args[0], args[1], neg)
	}
}

// soon REPO KEY VALUE: waits until what a daemon's loudspeaker does has that value.
func soon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: soon REPO KEY VALUE")
	}
	tick, late := time.NewTicker(50*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for {
		ts.Check(ts.Exec("playnode", "--repo", args[0], "ctl", "now", "--json"))
		var v map[string]any
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
		if fmt.Sprint(v[args[1]]) == args[2] {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("%s is %v and not %s", args[1], v[args[1]], args[2])
		}
	}
}

// soonpage HOST/PATH PATTERN: waits until what is served has the pattern, and
// puts what matches into PAGE.
func soonPage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: soonpage HOST/PATH PATTERN")
	}
	tick, late := time.NewTicker(50*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for {
		res, err := http.Get("http://" + args[0])
		ts.Check(err)
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		ts.Check(err)
		if m := regexp.MustCompile(args[1]).Find(body); m != nil {
			ts.Setenv("PAGE", string(m))
			return
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("%s: no %q in\n%s", args[0], args[1], body)
		}
	}
}

// flip FILE: turns one bit in the middle of a file.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	for _, f := range args {
		b := []byte(ts.ReadFile(f))
		b[len(b)/2] ^= 1
		ts.Check(os.WriteFile(ts.MkAbs(f), b, 0o600))
	}
}

// rot REPO: turns one bit in the largest block that the repo, or a mirror's
// ipfs folder, holds.
func rot(ts *testscript.TestScript, neg bool, args []string) {
	at := ts.MkAbs(args[0])
	spots, err := pack.List(filepath.Join(at, "ipfs", "packs"))
	ts.Check(err)
	if len(spots) > 0 {
		largest := slices.MaxFunc(spots, func(x, y pack.Spot) int { return x.Size - y.Size })
		f, err := os.OpenFile(largest.File, os.O_RDWR, 0)
		ts.Check(err)
		defer f.Close()
		b := make([]byte, 1)
		_, err = f.ReadAt(b, largest.At)
		ts.Check(err)
		b[0] ^= 1
		_, err = f.WriteAt(b, largest.At)
		ts.Check(err)
		return
	}
	var largest string
	var size int64
	entries, err := os.ReadDir(at)
	ts.Check(err)
	for _, e := range entries {
		info, err := e.Info()
		ts.Check(err)
		if info.Size() > size {
			largest, size = filepath.Join(at, e.Name()), info.Size()
		}
	}
	flip(ts, false, []string{largest})
}

// host DIR: serves a folder as a web host that knows nothing does, and puts its
// URL into $DIR_URL.
func host(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: host DIR")
	}
	s := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[0]))))
	ts.Defer(s.Close)
	ts.Setenv(args[0]+"_URL", s.URL)
}

// page HOST/PATH PATTERN: wants a page that matches.
func page(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] page HOST/PATH PATTERN")
	}
	res, err := http.Get("http://" + args[0])
	ts.Check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	if res.StatusCode != http.StatusOK || regexp.MustCompile(args[1]).Match(body) == neg {
		ts.Fatalf("%s: %s, %q is there: %v\n%s", args[0], res.Status, args[1], neg, body)
	}
}
