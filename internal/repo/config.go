package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
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
	// Peers are full multiaddrs to connect to and keep.
	Peers []string `mapstructure:"peer"`
	// Bootstrap replaces the public DHT's bootstrap peers.
	Bootstrap []string `mapstructure:"bootstrap"`
	// Origins are trustless gateways that are asked for blocks as well.
	Origins []string `mapstructure:"origin"`
	// Sink, Loudness (off, or a target in LUFS below 0) and Rate (Hz, 0 for
	// the device's) are what play uses unless told otherwise.
	Sink     string `mapstructure:"sink"`
	Loudness string `mapstructure:"loudness"`
	Rate     int    `mapstructure:"rate"`
	// Crossfade is how long a track is laid over the one before, Latency how
	// much sound a loudspeaker has in advance.
	Crossfade time.Duration `mapstructure:"crossfade"`
	Latency   time.Duration `mapstructure:"latency"`
	// Volume, in percent, is what a loudspeaker begins with before it was
	// ever set by ctl, VolumeCeiling what nobody gets it beyond.
	Volume        int `mapstructure:"volume"`
	VolumeCeiling int `mapstructure:"volume-ceiling"`
	// MP3 chooses the decoder of Layer III: "exact" (our own) or "go-mp3".
	MP3 string `mapstructure:"audio.mp3"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `mapstructure:"log-level"`
}

// defaults are all keys, so that viper knows those that only the environment
// names.
var defaults = map[string]any{
	"network": "public", "listen": []string{}, "http": "", "gateway": "",
	"peer": []string{}, "bootstrap": []string{}, "origin": []string{},
	"sink": "default", "loudness": "-16", "rate": 0, "crossfade": "0s", "latency": "200ms", "volume": 100, "volume-ceiling": 100,
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
		HTTP: v.GetString("http"), Gateway: v.GetString("gateway"),
		Peers: list(v, "peer"), Bootstrap: list(v, "bootstrap"), Origins: list(v, "origin"),
		Sink: v.GetString("sink"), Loudness: v.GetString("loudness"), Rate: v.GetInt("rate"),
		Crossfade: v.GetDuration("crossfade"), Latency: v.GetDuration("latency"),
		Volume: v.GetInt("volume"), VolumeCeiling: v.GetInt("volume-ceiling"),
		MP3: v.GetString("audio.mp3"), LogLevel: v.GetString("log-level"),
	}
	return c, c.validate()
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

func (c Config) validate() error {
	for _, o := range []struct {
		key, value string
		allowed    []string
	}{
		{"network", c.Network, []string{"public", "lan", "none"}},
		{"audio.mp3", c.MP3, []string{"exact", "go-mp3"}},
		{"log-level", c.LogLevel, []string{"debug", "info", "warn", "error"}},
	} {
		if !slices.Contains(o.allowed, o.value) {
			return fmt.Errorf("setting %s: %q is not one of %s", o.key, o.value, strings.Join(o.allowed, ", "))
		}
	}
	if c.Rate != 0 && (c.Rate < 8000 || c.Rate > 384000) {
		return fmt.Errorf("setting rate: %d Hz is not within 8000 to 384000", c.Rate)
	}
	if c.Crossfade < 0 || c.Crossfade > 30*time.Second {
		return fmt.Errorf("setting crossfade: %s is not within 0s to 30s", c.Crossfade)
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

// write stores what init was told; all else stays at its default and follows
// newer versions.
func (c Config) write(path string) error {
	var b strings.Builder
	b.WriteString("# Settings of this playnode. A flag or PLAYNODE_* variable goes before what stands here.\n")
	fmt.Fprintf(&b, "network: %s\n", c.Network)
	return WriteFile(path, []byte(b.String()))
}
