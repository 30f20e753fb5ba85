//go:build interop

package interop

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	drive "playnode/testnet/binary"
)

// A venue is filled once from each of what may fill it, by nothing else: by
// peers, by a mirror behind nginx, by an archivist's gateway where no peer can
// be reached at all, by a link that names either, and by a stick. The same
// samples come out, and status says where the bytes came from.
func TestFilledFromEach(t *testing.T) {
	b := newBench(t)
	files := sources(b)[:2] // without loss, so that they come out bit for bit
	var want []int16
	for _, f := range files {
		sound, err := drive.Decode(f, 44100)
		b.ok(err)
		want = append(want, sound.PCM...)
	}
	dj := b.box("dj")
	mirror := filepath.Join(b.dir, "mirror")
	var pub published
	b.ok(dj.JSON(b.ctx, &pub, append([]string{"publish", "--playlist", "bar", "--mirror", mirror}, files...)...))
	djd := b.start(dj)
	ark := b.box("ark")
	arkd := b.start(ark, "--gateway", "127.0.0.1:0", "--peer", djd.Addrs[0])
	b.ok(ark.JSON(b.ctx, nil, "archive", pub.Name, "--once"))
	nginx := b.nginx(mirror)
	share := func(origin string) string {
		var s struct{ Link string }
		b.ok(dj.JSON(b.ctx, &s, "share", "bar", "--no-addrs", "--origin", origin))
		return s.Link
	}
	stick := filepath.Join(mirror, pub.Name+".car")

	for _, c := range []struct {
		name   string
		flags  []string // of the venue's daemon
		fill   []string // the command that fills it
		source string   // of all bytes; "" where none came by the network
		peers  int
	}{
		{"peers", []string{"--peer", djd.Addrs[0], "--peer", arkd.Addrs[0]}, []string{"follow", pub.Name, "--once"}, "lan", 2},
		{"a mirror behind nginx", []string{"--origin", nginx}, []string{"follow", pub.Name, "--once"}, "http " + nginx, 0},
		{"a mirror, by a link", nil, []string{"follow", share(nginx), "--once"}, "http " + nginx, 0},
		{"an archivist's gateway", []string{"--origin", "http://" + arkd.Gateway}, []string{"follow", pub.Name, "--once"}, "http http://" + arkd.Gateway, 0},
		{"a gateway, by a link", nil, []string{"follow", share("http://" + arkd.Gateway), "--once"}, "http http://" + arkd.Gateway, 0},
		{"a CAR on a stick", nil, []string{"import", stick}, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bench{t, b.ctx, t.TempDir()}
			venue := drive.Box{Program: playnode, Repo: filepath.Join(b.dir, "venue")}
			var id struct{ Device string }
			b.ok(venue.JSON(b.ctx, &id, "init", "--network", "none"))
			b.start(venue, c.flags...)
			b.ok(venue.JSON(b.ctx, nil, c.fill...))
			var st struct {
				Peers   int
				Follows []struct{ Tracks, Held, Missing int }
				Traffic struct {
					Received int64
					BySource map[string]int64
				}
			}
			b.ok(venue.JSON(b.ctx, &st, "status"))
			if len(st.Follows) != 1 || st.Follows[0].Held != len(files) || st.Follows[0].Missing != 0 || st.Peers != c.peers {
				t.Fatalf("%+v", st)
			}
			for source, n := range st.Traffic.BySource {
				// A record that was sought a moment before the stick brought it
				// counts where it was sought.
				if (n > 4<<10) != (source == c.source) {
					t.Errorf("%d bytes from %s: %v", n, source, st.Traffic.BySource)
				}
			}
			if _, ok := st.Traffic.BySource[c.source]; !ok && c.source != "" {
				t.Errorf("nothing from %s: %v", c.source, st.Traffic.BySource)
			}
			grant := filepath.Join(b.dir, "grant")
			b.ok(dj.JSON(b.ctx, nil, "lease", "grant", "bar", "--device", id.Device, "--for", "1d", "--out", grant))
			b.ok(venue.JSON(b.ctx, nil, "lease", "import", grant))
			out := filepath.Join(b.dir, "out.wav")
			_, err := venue.Play(b.ctx, pub.Name+"/bar", "--sink", "wav:"+out, "--once")
			b.ok(err)
			got, err := drive.ReadWAV(out)
			b.ok(err)
			if got.Rate != 44100 || !slices.Equal(got.PCM, want) {
				t.Errorf("%d samples at %d Hz came out, or others than the %d of the sources", len(got.PCM), got.Rate, len(want))
			}
		})
	}
}

// nginx serves a mirror by the configuration that the documentation gives,
// until the test ends, and returns its URL.
func (b *bench) nginx(mirror string) string {
	b.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	addr := l.Addr().String()
	b.ok(l.Close())
	server, err := os.ReadFile("../docs/mirror.nginx")
	b.ok(err)
	text := strings.NewReplacer("listen 80;", "listen "+addr+";", "root /var/www/music;", "root "+mirror+";").Replace(string(server))
	if !strings.Contains(text, addr) || !strings.Contains(text, mirror) {
		b.Fatalf("docs/mirror.nginx has another listen or root:\n%s", server)
	}
	dir := b.TempDir()
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // whose the test's files are
	}
	temps := ""
	for _, t := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temps += fmt.Sprintf("%s_temp_path %s;\n", t, filepath.Join(dir, t))
	}
	conf := filepath.Join(dir, "nginx.conf")
	b.ok(os.WriteFile(conf, fmt.Appendf(nil, "%spid %s/pid;\nerror_log %s/error.log;\nworker_processes 1;\nevents {}\nhttp {\naccess_log off;\n%s%s}\n", user, dir, dir, temps, text), 0o600))
	// Without "daemon off" it returns once it listens.
	b.run(exec.Command(program, "-c", conf, "-p", dir), nil)
	b.Cleanup(func() { b.run(exec.Command(program, "-c", conf, "-p", dir, "-s", "stop"), nil) })

	url := "http://" + addr
	names, err := filepath.Glob(filepath.Join(mirror, "ipns", "*"))
	b.ok(err)
	blocks, err := filepath.Glob(filepath.Join(mirror, "ipfs", "*"))
	b.ok(err)
	for path, want := range map[string]string{
		"/ipns/" + filepath.Base(names[0]) + "?format=ipns-record": "200 application/vnd.ipfs.ipns-record",
		"/ipfs/" + filepath.Base(blocks[0]) + "?format=raw":        "200 application/vnd.ipld.raw",
		"/ipfs/" + filepath.Base(blocks[0]) + "?format=car":        "406 ",
		"/.playnode/lock": "404 ",
	} {
		res, err := http.Get(url + path)
		b.ok(err)
		res.Body.Close()
		if got := fmt.Sprint(res.StatusCode, " ", res.Header.Get("Content-Type")); !strings.HasPrefix(got, want) {
			b.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	return url
}
