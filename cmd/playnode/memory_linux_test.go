package main

import (
	"bufio"
	"bytes"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"playnode/internal/repo"
	box "playnode/testnet/binary"
)

// When a lease has lapsed, the venue's process holds neither the keys nor the
// sound any more: the program as it is built for release is asked, byte by
// byte, right after it has said so.
func TestNothingIsLeftInMemoryAfterTheLapse(t *testing.T) {
	if os.Geteuid() != 0 || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("SKIPPED: only root reads another process's memory, and Go erases on amd64 and arm64 alone")
	}
	program, err := filepath.Abs("../../bin/playnode")
	if err != nil {
		t.Fatal(err)
	}
	built, err := buildinfo.ReadFile(program)
	if err != nil || !slices.Contains(built.Settings, debug.BuildSetting{Key: "GOEXPERIMENT", Value: "runtimesecret"}) {
		t.Skip("SKIPPED: bin/playnode is not there as make build makes it")
	}
	dir, err := os.MkdirTemp("", "pn") // the sockets' paths are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	needles := map[string][][]byte{}
	var tracks []string
	noise := rand.New(rand.NewPCG(1, 2))
	for i := range 2 {
		const frames = 3 * 44100
		pcm := make([]byte, 0, 4*frames)
		for range 2 * frames {
			pcm = binary.LittleEndian.AppendUint16(pcm, uint16(noise.IntN(8000)-4000))
		}
		for at := 4096; at+64 < len(pcm); at += len(pcm) / 2 { // each is sought in all of the memory
			part := pcm[at&^3:][:64]
			needles["sealed sound"] = append(needles["sealed sound"], part)
			var decoded []byte
			for s := 0; s < len(part); s += 2 {
				v := int16(binary.LittleEndian.Uint16(part[s:]))
				decoded = binary.LittleEndian.AppendUint32(decoded, math.Float32bits(float32(v)/32768))
			}
			needles["decoded sound"] = append(needles["decoded sound"], decoded)
		}
		head := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(36+len(pcm)))
		head = append(head, "WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00\x44\xac\x00\x00\x10\xb1\x02\x00\x04\x00\x10\x00data"...)
		head = binary.LittleEndian.AppendUint32(head, uint32(len(pcm)))
		tracks = append(tracks, filepath.Join(dir, fmt.Sprint(i, ".wav")))
		if err := os.WriteFile(tracks[i], append(head, pcm...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dj, venue := box.Box{Program: program, Repo: filepath.Join(dir, "dj")}, box.Box{Program: program, Repo: filepath.Join(dir, "venue")}
	var id struct{ Name, Device string }
	ok(dj.JSON(ctx, &id, "init", "--network", "none"))
	name := id.Name
	ok(venue.JSON(ctx, &id, "init", "--network", "none"))
	ok(dj.JSON(ctx, nil, append([]string{"publish", "--playlist", "bar"}, tracks...)...))
	needles["file key"] = fileKeys(t, dj.Repo)
	d, err := dj.Start(ctx, "--listen", "/ip4/127.0.0.1/tcp/0")
	ok(err)
	defer d.Stop()
	v, err := venue.Start(ctx, "--listen", "/ip4/127.0.0.1/tcp/0")
	ok(err)
	defer v.Stop()
	pid := daemonOf(t, venue.Repo)
	ok(venue.JSON(ctx, nil, "follow", name, "--once", "--peer", d.Addrs[0]))
	lease := filepath.Join(dir, "bar.lease")
	ok(dj.JSON(ctx, nil, "lease", "grant", "bar", "--device", id.Device, "--for", "20s", "--out", lease))
	ok(venue.JSON(ctx, nil, "lease", "import", lease))
	for _, k := range periodKeys(t, venue.Repo)[:1] {
		needles["period key"] = append(needles["period key"], k)
		needles["period key as text"] = append(needles["period key as text"], []byte(base64.StdEncoding.EncodeToString(k))[:40])
	}
	play := exec.CommandContext(ctx, program, "--repo", venue.Repo, "--json", "play", name+"/bar", "--sink", "null")
	out, err := play.StdoutPipe()
	ok(err)
	ok(play.Start())
	during := map[string]int{}
	looks := 2 // while it plays; each reads all of the process's memory
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if looks > 0 && strings.Contains(lines.Text(), `"event":"track"`) {
			looks--
			for what, n := range inMemory(t, pid, needles) {
				during[what] += n
			}
		}
	}
	if err := play.Wait(); play.ProcessState.ExitCode() != 22 {
		t.Fatalf("play ended with %v, not by the lapse", err)
	}
	for what, n := range inMemory(t, pid, needles) {
		t.Logf("%s: %d times while it played, %d after the lapse", what, during[what], n)
		if n != 0 {
			t.Errorf("%s is in memory %d times after the lapse", what, n)
		}
	}
	for _, what := range []string{"period key", "sealed sound", "decoded sound"} {
		if during[what] == 0 {
			t.Errorf("%s was not found while it played: this test looks in the wrong place", what)
		}
	}
	if left := periodKeys(t, venue.Repo); len(left) != 0 {
		t.Errorf("%d period keys on disk", len(left))
	}
}

// daemonOf is the process that holds a repo.
func daemonOf(t *testing.T, dir string) int {
	t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range all {
		b, err := os.ReadFile(f)
		var pid int
		if _, e := fmt.Sscanf(f, "/proc/%d/", &pid); err == nil && e == nil && bytes.Contains(b, []byte(dir+"\x00")) && bytes.Contains(b, []byte("\x00daemon\x00")) {
			return pid
		}
	}
	t.Fatal("the daemon is not there")
	return 0
}

// fileKeys are those of the DJ's tracks.
func fileKeys(t *testing.T, dir string) (keys [][]byte) {
	t.Helper()
	cfg, err := repo.LoadConfig(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Bucket("library").Each("track/", func(_ string, value []byte) error {
		var row struct{ Key []byte }
		err := json.Unmarshal(value, &row)
		keys = append(keys, row.Key)
		return err
	}); err != nil || len(keys) != 2 || len(keys[0]) != 16 {
		t.Fatal(len(keys), err)
	}
	return keys
}

// periodKeys are those on a venue's disk.
func periodKeys(t *testing.T, dir string) (keys [][]byte) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "keys", "leases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows map[string][]byte
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	for k, v := range rows {
		if strings.HasPrefix(k, "key/") {
			keys = append(keys, v)
		}
	}
	return keys
}

// inMemory counts what of needles is in a process's writable memory.
func inMemory(t *testing.T, pid int, needles map[string][][]byte) map[string]int {
	t.Helper()
	found := map[string]int{}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	const window = 8 << 20
	buf, zero := make([]byte, window), make([]byte, window)
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		for at := from; at < to; at += window - 4096 { // windows overlap by more than a needle
			n, _ := mem.ReadAt(buf[:min(window, to-at)], at)
			if bytes.Equal(buf[:n], zero[:n]) {
				n = 0 // mapped and not used
			}
			for what, all := range needles {
				for _, x := range all {
					found[what] += bytes.Count(buf[:n], x[:min(len(x), 32)]) // what machines seek fast
				}
			}
			if at+window >= to {
				break
			}
		}
	}
	for what := range needles {
		found[what] += 0
	}
	return found
}
