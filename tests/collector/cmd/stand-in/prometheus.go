package main

import (
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
)

// More than one scrape of the service can be.
const maxBytes = 16 << 20

// remoteWrite takes the series of whoever knows the password, and prints them.
func remoteWrite(wantedUser, wantedPassword string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/write", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != wantedUser || password != wantedPassword {
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
	return mux
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
