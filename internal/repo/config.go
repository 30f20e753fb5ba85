package repo

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Config is every setting, validated. Its sources, strongest first: flag,
// PLAYNODE_* environment, config.yaml in the repo, default.
type Config struct {
	// Network is public (the Amino DHT and bootstrap peers), lan (mDNS and
	// the given peers) or none (the given peers only).
	Network string `mapstructure:"network"`
	// Listen are multiaddrs; empty means TCP and QUIC on port 4001 of every
	// interface for public and lan, and a free port of loopback for none.
	Listen []string `mapstructure:"listen"`
	// HTTP is the address of pages and API, Gateway that of the trustless
	// gateway; empty means not served.
	HTTP    string `mapstructure:"http"`
	Gateway string `mapstructure:"gateway"`
	// Metrics is the address of /metrics and /healthz; empty means not served.
	Metrics string `mapstructure:"metrics"`
	// Peers are full multiaddrs to connect to and keep.
	Peers []string `mapstructure:"peer"`
	// Bootstrap replaces the public DHT's bootstrap peers.
	Bootstrap []string `mapstructure:"bootstrap"`
	// Origins are trustless gateways that are asked for blocks as well.
	Origins []string `mapstructure:"origin"`
	// Routers are delegated routing servers that are given name records and
	// asked for them.
	Routers []string `mapstructure:"router"`
	// KuboNames are the RPCs of Kubos that are given name records (name put)
	// and asked for them.
	KuboNames []string `mapstructure:"kubo-names"`
	// Kubo is the RPC of a running Kubo that holds the blocks and pins, in
	// place of the repo's own store; empty for that. KuboAuth, which no flag
	// sets, is what opens it and those of KuboNames.
	Kubo     string `mapstructure:"kubo"`
	KuboAuth string `mapstructure:"kubo-auth" json:"-"`
	// PinningService is a Pinning Service that is asked to pin what is
	// archived, as well; PinningToken, or what the file of PinningTokenFile
	// holds, opens it. No flag sets the token.
	PinningService   string `mapstructure:"pinning-service"`
	PinningToken     string `mapstructure:"pinning-token" json:"-"`
	PinningTokenFile string `mapstructure:"pinning-token-file"`
	// Relay has the node relay small protocols for peers that nobody can dial
	// and that have something in common with it.
	Relay bool `mapstructure:"relay"`
	// Reach is public or private where it is known whether others can dial
	// this box, else auto: peers are asked.
	Reach string `mapstructure:"reach"`
	// Allow are the peer ids that the node has to do with when it is to have
	// to do with no others. As a setting, @FILE stands for a file of them,
	// one a line.
	Allow []string `mapstructure:"allow"`
	// NameLife is how long a record of the DJ's name is good for at the
	// least; it is signed anew when half of that is over.
	NameLife time.Duration `mapstructure:"name-life"`
	// Sink, Loudness (off, or a target in LUFS below 0) and Rate (Hz, 0 for
	// the device's) are what play uses unless told otherwise.
	Sink     string `mapstructure:"sink"`
	Loudness string `mapstructure:"loudness"`
	Rate     int    `mapstructure:"rate"`
	// Crossfade is how long a track is laid over the one before, nil as each
	// playlist says; Latency how much sound a loudspeaker has in advance.
	Crossfade *time.Duration `mapstructure:"crossfade"`
	Latency   time.Duration  `mapstructure:"latency"`
	// Live is auto, where a set that goes on air is heard in place of its
	// playlist, or off.
	Live string `mapstructure:"live"`
	// Volume, in percent, is what a loudspeaker begins with before it was
	// ever set by ctl, VolumeCeiling what nobody gets it beyond.
	Volume        int `mapstructure:"volume"`
	VolumeCeiling int `mapstructure:"volume-ceiling"`
	// MP3 chooses the decoder of Layer III: "exact" (our own) or "go-mp3".
	MP3 string `mapstructure:"audio.mp3"`
	// StoreLimit is how many bytes of blocks are held, about; 0 means any
	// number.
	StoreLimit int64 `mapstructure:"store-limit"`
	// UploadLimit and DownloadLimit bound what all of the node takes of the
	// line, headers included, in bytes a second; 0 means no bound.
	UploadLimit   int64 `mapstructure:"upload-limit"`
	DownloadLimit int64 `mapstructure:"download-limit"`
	// QuietHours are times, as ParseHours reads them, in which the line is left
	// to others, but for what is to be heard next and peers of the LAN; Metered
	// has it so all day.
	QuietHours []string `mapstructure:"quiet-hours"`
	Metered    bool     `mapstructure:"metered"`
	// Zone is the venue's time zone, by whose clock quiet hours and the schedule
	// go, as LoadZone reads it.
	Zone string `mapstructure:"zone"`
	// Mirrors are folders (absolute) that have the DJ's newest version for web
	// hosts to serve; MirrorCAR says whether each has it as one file as well.
	Mirrors   []string `mapstructure:"mirrors"`
	MirrorCAR bool     `mapstructure:"mirror-car"`
	// Copies is how many others must hold every block of what is published
	// before it is safe to close; at least 1.
	Copies int `mapstructure:"copies"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `mapstructure:"log-level"`
}

// defaults are all keys, so that viper knows those that only the environment
// names.
var defaults = map[string]any{
	"network": "public", "listen": []string{}, "http": "", "gateway": "", "metrics": "",
	"peer": []string{}, "bootstrap": []string{}, "origin": []string{},
	"router": []string{}, "kubo-names": []string{}, "kubo": "", "kubo-auth": "",
	"pinning-service": "", "pinning-token": "", "pinning-token-file": "", "name-life": "30d", "store-limit": "0", "copies": 2, "mirrors": []string{}, "mirror-car": true,
	"upload-limit": "0", "download-limit": "0", "quiet-hours": []string{}, "metered": false, "zone": "", "relay": false, "reach": "auto", "allow": []string{},
	"sink": "default", "loudness": "-16", "rate": 0, "crossfade": ByPlaylist, "latency": "200ms", "live": LiveAuto, "volume": 100, "volume-ceiling": 100,
	"audio.mp3": "exact", "log-level": "info",
}

// LoadConfig reads the settings for the repo at dir, which need not exist
// yet. Flags are bound by their name where they have one of the keys.
func LoadConfig(dir string, flags *pflag.FlagSet) (Config, error) {
	v := viper.New()
	for k, d := range defaults {
		v.SetDefault(k, d)
	}
	v.SetEnvPrefix("PLAYNODE")
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_", ".", "_"))
	v.AutomaticEnv()
	v.SetConfigFile(filepath.Join(dir, "config.yaml"))
	if err := v.ReadInConfig(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("read settings: %w", err)
	}
	known := make([]string, 0, len(defaults))
	for k := range defaults {
		known = append(known, k)
	}
	for _, k := range v.AllKeys() {
		if !slices.Contains(known, k) {
			slices.Sort(known)
			return Config{}, fmt.Errorf("read settings: %s: unknown setting %q; known are %s",
				v.ConfigFileUsed(), k, strings.Join(known, ", "))
		}
	}
	if flags != nil {
		for k := range defaults {
			if f := flags.Lookup(k); f != nil {
				if err := v.BindPFlag(k, f); err != nil {
					return Config{}, fmt.Errorf("bind flag %s: %w", k, err)
				}
			}
		}
	}
	c := Config{
		Network: v.GetString("network"), Listen: list(v, "listen"),
		HTTP: v.GetString("http"), Gateway: v.GetString("gateway"), Metrics: v.GetString("metrics"),
		Peers: list(v, "peer"), Bootstrap: list(v, "bootstrap"), Origins: list(v, "origin"),
		Routers: list(v, "router"), KuboNames: list(v, "kubo-names"),
		Kubo: v.GetString("kubo"), KuboAuth: v.GetString("kubo-auth"),
		PinningService: v.GetString("pinning-service"), PinningToken: v.GetString("pinning-token"), PinningTokenFile: v.GetString("pinning-token-file"),
		Relay: v.GetBool("relay"), Reach: v.GetString("reach"),
		Sink: v.GetString("sink"), Loudness: v.GetString("loudness"), Rate: v.GetInt("rate"),
		Latency: v.GetDuration("latency"), Live: v.GetString("live"),
		Volume: v.GetInt("volume"), VolumeCeiling: v.GetInt("volume-ceiling"),
		QuietHours: phrases(v, "quiet-hours"), Metered: v.GetBool("metered"), Zone: v.GetString("zone"),
		Mirrors: list(v, "mirrors"), MirrorCAR: v.GetBool("mirror-car"),
		MP3: v.GetString("audio.mp3"), Copies: v.GetInt("copies"), LogLevel: v.GetString("log-level"),
	}
	var err error
	if c.NameLife, err = ParseDuration(v.GetString("name-life")); err != nil {
		return Config{}, fmt.Errorf("setting name-life: %w", err)
	}
	for _, o := range []struct {
		key string
		to  *int64
	}{{"store-limit", &c.StoreLimit}, {"upload-limit", &c.UploadLimit}, {"download-limit", &c.DownloadLimit}} {
		if *o.to, err = parseSize(v.GetString(o.key)); err != nil {
			return Config{}, fmt.Errorf("setting %s: %w", o.key, err)
		}
	}
	if c.Crossfade, err = ParseCrossfade(v.GetString("crossfade")); err != nil {
		return Config{}, fmt.Errorf("setting crossfade: %w", err)
	}
	if c.Allow, err = allowed(dir, list(v, "allow")); err != nil {
		return Config{}, fmt.Errorf("setting allow: %w", err)
	}
	return c, c.validate()
}

// What becomes of a set that goes on air while its playlist plays.
const (
	LiveAuto = "auto" // it is heard
	LiveOff  = "off"
)

// ByPlaylist is the crossfade of who leaves it to the playlist.
const ByPlaylist = "playlist"

// ParseCrossfade reads playlist, which is nil, or 0s to 30s.
func ParseCrossfade(s string) (*time.Duration, error) {
	if s == ByPlaylist {
		return nil, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > 30*time.Second {
		return nil, fmt.Errorf("%q is neither playlist nor a time from 0s to 30s", s)
	}
	return &d, nil
}

// maxAllow bounds a file of peer ids, in bytes.
const maxAllow = 1 << 20

// allowed puts what files list in place of their @names; a relative name in
// the repo's settings is beside them, on the command line where one stands.
func allowed(dir string, list []string) (ids []string, err error) {
	for _, a := range list {
		path, file := strings.CutPrefix(a, "@")
		if !file {
			ids = append(ids, a)
			continue
		}
		if !filepath.IsAbs(path) {
			if _, err := os.Stat(path); err != nil {
				path = filepath.Join(dir, path)
			}
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		lines := bufio.NewScanner(io.LimitReader(f, maxAllow))
		found := false
		for lines.Scan() {
			line, _, _ := strings.Cut(lines.Text(), "#")
			if line = strings.TrimSpace(line); line != "" {
				ids, found = append(ids, line), true
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if !found {
			return nil, fmt.Errorf("%s has no peer id: it would allow everyone", path)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// units are those that a size may be in.
var units = map[string]int64{
	"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// parseSize reads 500GB, 10MiB or a number of bytes.
func parseSize(s string) (int64, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz ")
	unit, known := units[strings.TrimSpace(text[len(digits):])]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is no size such as 500GB or 10MiB", s)
	}
	return n * unit, nil
}

// list takes a YAML list, repeated flags, or an environment's commas.
func list(v *viper.Viper, key string) []string {
	var out []string
	for _, s := range v.GetStringSlice(key) {
		for _, p := range strings.Split(s, ",") {
			if p = strings.TrimSpace(p); p != "" {
				out = append(out, p)
			}
		}
	}
	return out
}

// phrases is list of what may have spaces in it.
func phrases(v *viper.Viper, key string) (out []string) {
	text, one := v.Get(key).(string)
	if !one {
		return list(v, key)
	}
	for _, p := range strings.Split(text, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func (c Config) validate() error {
	for _, o := range []struct {
		key, value string
		allowed    []string
	}{
		{"network", c.Network, []string{"public", "lan", "none"}},
		{"reach", c.Reach, []string{"auto", "public", "private"}},
		{"live", c.Live, []string{LiveAuto, LiveOff}},
		{"audio.mp3", c.MP3, []string{"exact", "go-mp3"}},
		{"log-level", c.LogLevel, []string{"debug", "info", "warn", "error"}},
	} {
		if !slices.Contains(o.allowed, o.value) {
			return fmt.Errorf("setting %s: %q is not one of %s", o.key, o.value, strings.Join(o.allowed, ", "))
		}
	}
	for _, dir := range c.Mirrors {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("setting mirrors: %q does not begin at the root", dir)
		}
	}
	if c.Kubo != "" && c.StoreLimit > 0 {
		return errors.New("setting store-limit: it bounds the repo's own store; of a Kubo's repo that is Datastore.StorageMax in its config, and ipfs daemon --enable-gc")
	}
	if _, err := ParseHours(c.QuietHours); err != nil {
		return fmt.Errorf("setting quiet-hours: %w", err)
	}
	if _, err := LoadZone(c.Zone); err != nil {
		return fmt.Errorf("setting zone: %w", err)
	}
	if c.Copies < 1 {
		return fmt.Errorf("setting copies: %d is not at least 1", c.Copies)
	}
	for _, o := range []struct {
		key   string
		value int64
	}{{"upload-limit", c.UploadLimit}, {"download-limit", c.DownloadLimit}} {
		if o.value != 0 && o.value < leastRate {
			return fmt.Errorf("setting %s: %d bytes a second is not 0, nor at least %d", o.key, o.value, leastRate)
		}
	}
	if c.Rate != 0 && (c.Rate < 8000 || c.Rate > 384000) {
		return fmt.Errorf("setting rate: %d Hz is not within 8000 to 384000", c.Rate)
	}
	if c.NameLife < leastLife || c.NameLife > mostLife {
		return fmt.Errorf("setting name-life: %s is not within 1d to 366d", c.NameLife)
	}
	if c.Latency < 20*time.Millisecond || c.Latency > 2*time.Second {
		return fmt.Errorf("setting latency: %s is not within 20ms to 2s", c.Latency)
	}
	for _, o := range []struct {
		key        string
		value, low int
	}{{"volume", c.Volume, 0}, {"volume-ceiling", c.VolumeCeiling, 1}} {
		if o.value < o.low || o.value > 100 {
			return fmt.Errorf("setting %s: %d is not within %d to 100", o.key, o.value, o.low)
		}
	}
	return nil
}

// leastRate is 8 KiB a second: below it a block takes over half a minute.
const leastRate = 8 << 10

// A record of a day is signed anew every half day; one beyond a year would
// outlive its catalogue by far.
const leastLife, mostLife = 24 * time.Hour, 366 * 24 * time.Hour

// write stores what init was told; all else stays at its default and follows
// newer versions.
func (c Config) write(path string) error {
	var b strings.Builder
	b.WriteString("# Settings of this playnode. A flag or PLAYNODE_* variable goes before what stands here.\n")
	fmt.Fprintf(&b, "network: %s\n", c.Network)
	return WriteFile(path, []byte(b.String()))
}
