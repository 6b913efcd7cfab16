// Command stand-in is what the collector meets on Google Cloud: a Prometheus that takes remote
// write with basic auth and prints each series as a line, Cloud Trace, which prints each span as
// one, and the metadata server of Cloud Run.
//
// Usage: stand-in USER PASSWORD CERTIFICATE
//
// CERTIFICATE is the file that the certificate of Cloud Trace is written to.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
)

const (
	prometheusAddress = "127.0.0.1:9091"
	metadataAddress   = "127.0.0.1:8082"
	traceAddress      = "127.0.0.1:8443"

	project = "mlab-sandbox"
	// What the metadata server gives, and Cloud Trace wants.
	accessToken = "of-the-service-account"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: stand-in USER PASSWORD CERTIFICATE")
	}
	go func() { log.Fatal(http.ListenAndServe(metadataAddress, http.HandlerFunc(metadataServer))) }()
	go func() { log.Fatal(serveTraces(traceAddress, os.Args[3])) }()
	log.Fatal(http.ListenAndServe(prometheusAddress, remoteWrite(os.Args[1], os.Args[2])))
}

// metadataServer answers what the detection of Cloud Run asks, and who needs an access token.
func metadataServer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Metadata-Flavor", "Google")
	answers := map[string]string{
		"project/project-id":         project,
		"project/numeric-project-id": "1",
		"instance/id":                "00aabbcc",
		"instance/region":            "projects/1/regions/us-east1",
		"instance/zone":              "projects/1/zones/us-east1-1",
		"instance/service-accounts/default/token": fmt.Sprintf(
			`{"access_token":%q,"expires_in":3600,"token_type":"Bearer"}`, accessToken),
		"universe/universe-domain": "googleapis.com",
	}
	path := strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")
	answer, known := answers[path]
	if !known && path != "" && r.URL.Path != "/" {
		http.NotFound(w, r)
		return
	}
	fmt.Fprint(w, answer)
}
