//go:build interop

package interop

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// Twenty pieces of real music are at the venue's loudness when they reach the
// sink, as ffmpeg measures it there, or as near to it as a true peak of -1 dBTP
// lets them.
func TestLoudnessOfRealMusic(t *testing.T) {
	const target, pieces = -18.0, 20
	b := newBench(t)
	dir := os.Getenv("PLAYNODE_MUSIC")
	files, err := filepath.Glob(filepath.Join(dir, "*.ogg"))
	b.ok(err)
	if dir == "" || len(files) < 2 {
		t.Fatalf("PLAYNODE_MUSIC=%q holds %d Ogg files; run make interop", dir, len(files))
	}
	// Where there are fewer, other stretches of the same are as good.
	var paths []string
	for i := range pieces {
		p := filepath.Join(b.dir, fmt.Sprintf("%02d.flac", i))
		b.run(exec.CommandContext(b.ctx, "ffmpeg", "-v", "error", "-ss", fmt.Sprint(10+35*(i/len(files))), "-t", "30", "-i", files[i%len(files)], p), nil)
		paths = append(paths, p)
	}
	dj, venue := b.box("dj"), b.box("venue")
	var id struct{ Device string }
	b.ok(venue.JSON(b.ctx, &id, "id"))
	var pub struct {
		Name      string
		Playlists []struct {
			Tracks []struct {
				CID        string
				LUFS, Peak float64
			}
		}
	}
	b.ok(dj.JSON(b.ctx, &pub, append([]string{"publish"}, paths...)...))
	grant := filepath.Join(b.dir, "grant")
	b.ok(dj.JSON(b.ctx, nil, "lease", "grant", "main", "--device", id.Device, "--for", "1d", "--out", grant))
	d := b.start(dj)
	b.ok(venue.JSON(b.ctx, nil, "follow", pub.Name, "--once", "--peer", d.Addrs[0]))
	b.ok(venue.JSON(b.ctx, nil, "lease", "import", grant))
	raw := filepath.Join(b.dir, "heard")
	events, err := venue.Play(b.ctx, pub.Name+"/main", "--sink", "raw:"+raw, "--once", "--loudness", fmt.Sprint(target))
	b.ok(err)
	heard, err := os.ReadFile(raw)
	b.ok(err)
	value := regexp.MustCompile(`(I|Peak): +(-?[\d.]+|-inf) (LUFS|dBFS)`)
	n := 0
	for i, e := range events {
		if e.Event != "track" {
			continue
		}
		end := events[i+1].At
		out, err := exec.CommandContext(b.ctx, "sh", "-c", fmt.Sprintf(
			`tail -c +%d %q | head -c %d | ffmpeg -nostats -f s16le -ar %d -ac 2 -i - -af ebur128=peak=true -f null - 2>&1`, 4*e.At+1, raw, 4*(end-e.At), e.Rate)).Output()
		b.ok(err)
		got := map[string]float64{}
		for _, m := range value.FindAllSubmatch(out, -1) {
			got[string(m[1])], _ = strconv.ParseFloat(string(m[2]), 64)
		}
		track := pub.Playlists[0].Tracks[n]
		want := min(target, track.LUFS-1-track.Peak)
		if math.Abs(got["I"]-want) > 0.5 || got["Peak"] > -0.7 {
			t.Errorf("piece %d is at %.1f LUFS with a peak of %.1f dBTP, want %.1f", n, got["I"], got["Peak"], want)
		}
		n++
	}
	if n != pieces || int64(len(heard)) != 4*events[len(events)-1].Samples {
		t.Errorf("%d pieces of %d were heard, %d bytes", n, pieces, len(heard))
	}
}
