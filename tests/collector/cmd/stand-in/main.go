// Command stand-in is what the collector meets on Google Cloud: a Prometheus that takes remote
// write with basic auth and prints each series as a line, and the metadata server of Cloud Run.
//
// Usage: stand-in REMOTE-WRITE-ADDRESS METADATA-ADDRESS USER PASSWORD
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sort"
	"strings"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
)

// More than one scrape of the service can be.
const maxBytes = 16 << 20

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: stand-in REMOTE-WRITE-ADDRESS METADATA-ADDRESS USER PASSWORD")
	}
	go func() { log.Fatal(http.ListenAndServe(os.Args[2], http.HandlerFunc(metadata))) }()
	http.HandleFunc("POST /api/v1/write", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != os.Args[3] || password != os.Args[4] {
			fmt.Println("refused: not the user and password that were given")
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		if err := printSeries(io.LimitReader(r.Body, maxBytes)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}

func printSeries(body io.Reader) error {
	compressed, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	bytes, err := snappy.Decode(nil, compressed)
	if err != nil {
		return err
	}
	var request prompb.WriteRequest
	if err := request.Unmarshal(bytes); err != nil {
		return err
	}
	for _, series := range request.Timeseries {
		var name string
		var labels []string
		for _, label := range series.Labels {
			if label.Name == "__name__" {
				name = label.Value
				continue
			}
			labels = append(labels, fmt.Sprintf("%s=%q", label.Name, label.Value))
		}
		sort.Strings(labels)
		for _, sample := range series.Samples {
			fmt.Printf("%s{%s} %g\n", name, strings.Join(labels, ","), sample.Value)
		}
	}
	return nil
}

// metadata answers what the detection of Cloud Run asks.
func metadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Metadata-Flavor", "Google")
	answers := map[string]string{
		"project/project-id":         "mlab-sandbox",
		"project/numeric-project-id": "1",
		"instance/id":                "00aabbcc",
		"instance/region":            "projects/1/regions/us-east1",
		"instance/zone":              "projects/1/zones/us-east1-1",
	}
	path := strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")
	answer, known := answers[path]
	if !known && path != "" && r.URL.Path != "/" {
		http.NotFound(w, r)
		return
	}
	fmt.Fprint(w, answer)
}
