package daemon

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics serves /metrics, as Prometheus reads it, and /healthz: 200 while
// the repo answers.
func (d *Daemon) metrics(n *network) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(gauges{d, n})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, req *http.Request) {
		if _, err := n.node.Pins(req.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
	})
	return mux
}

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("playnode_"+name, help, labels, nil)
}

// What is told. No sealed fact is among it.
var (
	heldBlocks    = gauge("held_blocks", "Blocks held of the newest version of a name.", "name")
	heldBytes     = gauge("held_bytes", "Bytes held of the newest version of a name.", "name")
	missingBlocks = gauge("missing_blocks", "Blocks of the newest version of a name that are not here.", "name")
	pastVersions  = gauge("past_versions", "Past versions of a name that are kept.", "name")
	headSeq       = gauge("head_seq", "Sequence of the newest head of a name.", "name")
	headIssued    = gauge("head_issued_timestamp_seconds", "When the newest head of a name was signed.", "name")
	headEnd       = gauge("head_end_timestamp_seconds", "When the newest head of a name becomes stale.", "name")
	recordSeq     = gauge("record_seq", "Sequence of the newest IPNS record of a name.", "name")
	recordEnd     = gauge("record_end_timestamp_seconds", "End of life of the newest IPNS record of a name.", "name")
	storeBytes    = gauge("store_bytes", "Bytes that all blocks take here.")
	storeLimit    = gauge("store_limit_bytes", "Bytes that blocks may take here; 0 is any number.")
	peerCount     = gauge("peers", "Peers connected now.")
	sentBytes     = gauge("sent_bytes_total", "Bytes of blocks sent since the start.")
	receivedBytes = gauge("received_bytes_total", "Bytes of blocks received since the start.", "source")
	duplicates    = gauge("duplicate_bytes_total", "Bytes of blocks received that had come already.")
	referred      = gauge("referred_total", "Wants of others that were answered by naming who has the block.")
	rescued       = gauge("rescued_total", "Blocks asked of one more because the first asked was late.")
	liars         = gauge("liars_total", "Peers dropped for wrong bytes.")
)

// gauges reads the values when it is asked for them.
type gauges struct {
	d *Daemon
	n *network
}

// Describe says nothing: names come and go.
func (g gauges) Describe(chan<- *prometheus.Desc) {}

// Collect tells what is held now.
func (g gauges) Collect(out chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	value := func(d *prometheus.Desc, v float64, labels ...string) { tell(d, prometheus.GaugeValue, v, labels...) }
	reports, err := g.n.archivist.Reports()
	if err != nil {
		out <- prometheus.NewInvalidMetric(heldBlocks, err)
	}
	for _, r := range reports {
		name := r.Name.String()
		value(heldBlocks, float64(r.Blocks), name)
		value(heldBytes, float64(r.Bytes), name)
		value(missingBlocks, float64(r.Missing), name)
		value(pastVersions, float64(len(r.Past)), name)
		value(headSeq, float64(r.Seq), name)
		if r.Envelope.Defined() {
			value(headIssued, float64(r.Issued.Unix()), name)
			value(headEnd, float64(r.End.Unix()), name)
		}
		if r.RecordSeq > 0 {
			value(recordSeq, float64(r.RecordSeq), name)
			value(recordEnd, float64(r.RecordEnd.Unix()), name)
		}
	}
	if used, err := g.n.node.Used(context.Background()); err == nil {
		value(storeBytes, float64(used))
	}
	value(storeLimit, float64(g.d.repo.Config.StoreLimit))
	value(peerCount, float64(len(g.n.node.Connected())))
	t := g.d.traffic(g.n)
	tell(sentBytes, prometheus.CounterValue, float64(t.Sent))
	for source, bytes := range t.BySource {
		tell(receivedBytes, prometheus.CounterValue, float64(bytes), source)
	}
	tell(duplicates, prometheus.CounterValue, float64(t.Duplicate))
	tell(referred, prometheus.CounterValue, float64(t.Referred))
	tell(rescued, prometheus.CounterValue, float64(t.Rescued))
	tell(liars, prometheus.CounterValue, float64(t.Liars))
}
