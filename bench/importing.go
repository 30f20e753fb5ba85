package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	box "playnode/testnet/binary"
)

// importRounds is how often 100 MiB are imported each way.
const importRounds = 5

// importing measures what it takes to seal a catalogue into the repo's own store
// and into a running Kubo.
func (r *runner) importing() error {
	r.importLoad = load()
	if err := r.sealing(); err != nil {
		return err
	}
	return r.throughKubo()
}

// sealing measures seal and DAG alone beside `ipfs add` of the same bytes.
func (r *runner) sealing() error {
	dir := filepath.Join(r.dir, "seal")
	defer os.RemoveAll(dir)
	files, err := makeNoise(dir, 10)
	if err != nil {
		return err
	}
	for i := range importRounds {
		k, err := r.kubo(filepath.Join(dir, "kubo"+strconv.Itoa(i)))
		if err != nil {
			return err
		}
		if err := r.time("import kubo", func() error { return k.add(nil, append([]string{"--pin=false"}, files...)...) }); err != nil {
			return err
		}
		if err := r.sealed("import ours", files); err != nil {
			return err
		}
	}
	return nil
}

// sealed measures seal and DAG of files, as BenchmarkSeal does with env.
func (r *runner) sealed(what string, files []string, env ...string) error {
	cmd := exec.CommandContext(r.ctx, "go", "test", "./publisher", "-run", "^$", "-bench", "^BenchmarkSeal$", "-benchtime", "1x")
	cmd.Env = slices.Concat(os.Environ(), []string{"PLAYNODE_BENCH_FILES=" + strings.Join(files, string(filepath.ListSeparator))}, env)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("measure sealing: %w: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], "BenchmarkSeal") || f[3] != "ns/op" {
			continue
		}
		ns, err := strconv.ParseFloat(f[2], 64)
		if err == nil {
			r.keep(what, ns/1e9)
			fmt.Fprintf(os.Stderr, "  %-28s %8.3f s\n", what, ns/1e9)
		}
		return err
	}
	return fmt.Errorf("measure sealing: %s", out)
}

// throughKubo measures a whole publish into the repo's own store and into a
// running Kubo, beside `ipfs add` at that Kubo.
func (r *runner) throughKubo() error {
	dir := filepath.Join(r.dir, "through")
	defer os.RemoveAll(dir)
	files, err := makeNoise(dir, 10)
	if err != nil {
		return err
	}
	for i := range importRounds {
		k, err := r.kubo(filepath.Join(dir, "kubo"+strconv.Itoa(i)))
		if err != nil {
			return err
		}
		stop, _, _, err := k.daemon()
		if err != nil {
			return err
		}
		rpc, err := k.rpc()
		if err == nil {
			err = r.published("publish", filepath.Join(dir, "own"+strconv.Itoa(i)), files)
		}
		if err == nil {
			err = r.published("publish through kubo", filepath.Join(dir, "attached"+strconv.Itoa(i)), files, "--kubo", rpc)
		}
		if err == nil {
			err = r.sealed("import through kubo", files, "PLAYNODE_BENCH_KUBO="+rpc)
		}
		if err == nil {
			err = r.time("add to kubo", func() error { return k.add(nil, files...) })
		}
		stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// published times a new DJ's publish.
func (r *runner) published(what, repo string, files []string, flags ...string) error {
	dj := box.Box{Program: r.Playnode, Repo: repo}
	if err := dj.JSON(r.ctx, nil, "init", "--network", "none"); err != nil {
		return err
	}
	return r.time(what, func() error {
		return dj.JSON(r.ctx, nil, slices.Concat([]string{"publish"}, flags, files)...)
	})
}

// rpc is where a running daemon's RPC is.
func (k kubo) rpc() (url string, err error) {
	addr, err := os.ReadFile(filepath.Join(k.repo, "api"))
	if err != nil {
		return "", err
	}
	port, ok := strings.CutPrefix(strings.TrimSpace(string(addr)), "/ip4/127.0.0.1/tcp/")
	if !ok {
		return "", fmt.Errorf("kubo's RPC is at %s", addr)
	}
	return "http://127.0.0.1:" + port, nil
}

func (r *runner) importingPage(b *bytes.Buffer) {
	fmt.Fprintf(b, "100 MiB of noise in files of 10 MiB, medians of %d rounds in which the contenders took turns. When it began %.0f processes wanted the cores (load average of a minute).\n\n", importRounds, r.importLoad)
	fmt.Fprint(b, "| import of 100 MiB | seconds |\n|---|---:|\n")
	for _, row := range [][2]string{
		{"import ours", "sealed, cut into blocks and stored, as `publish` does after its analysis"}, {"import kubo", "`ipfs add` of the plain files, stock Kubo"},
		{"import through kubo", "sealed, cut into blocks, stored and pinned in a running Kubo"}, {"add to kubo", "`ipfs add` of the plain files at that Kubo, pinned"},
		{"publish", "`playnode publish`, its analysis too"}, {"publish through kubo", "`playnode publish --kubo`, into that Kubo"},
	} {
		fmt.Fprintf(b, "| %s | %.2f |\n", row[1], r.median(row[0]))
	}
	here, there := r.median("import ours")/r.median("import kubo"), r.median("import through kubo")/r.median("add to kubo")
	writeGoals(b,
		goal{"sealing in at most the time of `ipfs add`", fmt.Sprintf("%.2f times", here), here <= 1},
		goal{"sealing into a Kubo in at most 1.3 times the time of `ipfs add` there", fmt.Sprintf("%.2f times", there), there <= 1.3})
}
