package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/spf13/pflag"

	"playnode/internal/repo"
)

const opSettings Op[struct{}, repo.Config] = "settings"

func (d *Daemon) settings(context.Context, struct{}, func(Event)) (repo.Config, error) {
	return d.repo.Config, nil
}

// SameSettings refuses flags that would change how the daemon behind c runs:
// its node is already made. Those of a single request may differ.
func SameSettings(ctx context.Context, c Client, dir string, flags *pflag.FlagSet) error {
	node := pflag.NewFlagSet("node", pflag.ContinueOnError)
	for _, name := range []string{
		"listen", "http", "gateway", "metrics", "store-limit", "upload-limit", "download-limit", "quiet-hours", "metered", "network", "bootstrap", "origin", "router", "kubo-names",
		"kubo", "pinning-service", "pinning-token-file", "relay", "reach", "allow",
	} {
		if f := flags.Lookup(name); f != nil {
			node.AddFlag(f)
		}
	}
	if !node.HasFlags() {
		return nil
	}
	want, err := repo.LoadConfig(dir, node)
	if err != nil {
		return &Error{Kind: Usage, Message: err.Error(), cause: err}
	}
	have, err := Call(ctx, c, opSettings, struct{}{}, nil)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		flag       string
		want, have any
	}{
		{"listen", want.Listen, have.Listen}, {"http", want.HTTP, have.HTTP},
		{"gateway", want.Gateway, have.Gateway}, {"metrics", want.Metrics, have.Metrics}, {"store-limit", want.StoreLimit, have.StoreLimit},
		{"upload-limit", want.UploadLimit, have.UploadLimit}, {"download-limit", want.DownloadLimit, have.DownloadLimit}, {"quiet-hours", want.QuietHours, have.QuietHours}, {"metered", want.Metered, have.Metered},
		{"network", want.Network, have.Network},
		{"bootstrap", want.Bootstrap, have.Bootstrap}, {"origin", want.Origins, have.Origins},
		{"router", want.Routers, have.Routers}, {"kubo-names", want.KuboNames, have.KuboNames},
		{"kubo", want.Kubo, have.Kubo}, {"pinning-service", want.PinningService, have.PinningService}, {"pinning-token-file", want.PinningTokenFile, have.PinningTokenFile},
		{"relay", want.Relay, have.Relay}, {"reach", want.Reach, have.Reach}, {"allow", want.Allow, have.Allow},
	} {
		if node.Lookup(f.flag) != nil && !reflect.DeepEqual(f.want, f.have) {
			return usage("--%s differs from the running daemon's (%s): stop it, or leave the flag out", f.flag, show(f.have))
		}
	}
	return nil
}

func show(v any) string {
	if b, err := json.Marshal(v); err == nil {
		return string(b)
	}
	return fmt.Sprint(v)
}
