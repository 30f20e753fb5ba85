package main

import (
	"time"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

// nodeFlags are on daemon and every command that may open the node. Their
// values reach it as settings; only what a single request needs is here.
type nodeFlags struct {
	peers   []string
	timeout duration
}

func (n *nodeFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&n.peers, "peer", nil, "a full multiaddr to connect to and keep (repeatable)")
	f.StringArray("listen", nil, "a multiaddr to listen on (repeatable)")
	f.String("http", "", "address for pages and API")
	f.String("gateway", "", "address for the trustless gateway and delegated routing of IPNS records")
	f.String("metrics", "", "address for /metrics (Prometheus) and /healthz")
	f.String("store-limit", "0", "how much to hold at most, such as 500GB (0: no limit)")
	f.String("upload-limit", "0", "how much a second to send at most, all in all, such as 500kB (0: no limit)")
	f.String("download-limit", "0", "how much a second to receive at most, all in all (0: no limit)")
	f.StringArray("quiet-hours", nil, "when to leave the line to others, such as 18:00-23:30 or 'fri-sat 22:00-04:00' (repeatable)")
	f.Bool("metered", false, "leave the line to others always: fetch what is to be heard, give to the LAN alone")
	f.String("network", "public", "public, lan or none")
	f.StringArray("bootstrap", nil, "a bootstrap peer instead of the public ones (repeatable)")
	f.StringArray("origin", nil, "a trustless gateway to ask for blocks as well (repeatable)")
	f.StringArray("router", nil, "a delegated routing server to give and ask for name records (repeatable)")
	f.StringArray("kubo-names", nil, "the RPC of a Kubo to give and ask for name records, such as http://127.0.0.1:5001 (repeatable)")
	f.String("kubo", "", "the RPC of a running Kubo that holds blocks and pins in place of this repo, such as http://127.0.0.1:5001")
	f.String("pinning-service", "", "a Pinning Service that pins what is archived as well; its token is the setting pinning-token, or in pinning-token-file")
	f.String("pinning-token-file", "", "the file that the Pinning Service's token is in")
	f.Bool("relay", false, "relay for followers of the same names that nobody can dial")
	f.String("reach", "auto", "whether others can dial this box: public, private, or auto to ask peers")
	f.StringArray("allow", nil, "a peer id, or @FILE of them: have to do with these alone (repeatable)")
	n.timeout = duration(time.Minute)
	f.Var(&n.timeout, "timeout", "how long to wait while nothing arrives")
}

func (n *nodeFlags) request() daemon.NodeRequest {
	return daemon.NodeRequest{Peers: n.peers, Timeout: time.Duration(n.timeout)}
}
