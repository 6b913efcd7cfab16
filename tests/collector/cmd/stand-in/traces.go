package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"sort"
	"strings"
	"time"

	"cloud.google.com/go/trace/apiv2/tracepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// traces is Cloud Trace, as far as the collector uses it.
type traces struct {
	tracepb.UnimplementedTraceServiceServer
}

// serveTraces serves with a certificate of its own, which it writes to the file.
func serveTraces(address, file string) error {
	certificate, err := selfSigned(file)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	tracepb.RegisterTraceServiceServer(server, traces{})
	return server.Serve(listener)
}

// BatchWriteSpans prints spans like series, and takes them from nobody without the access token.
func (traces) BatchWriteSpans(
	ctx context.Context, request *tracepb.BatchWriteSpansRequest,
) (*emptypb.Empty, error) {
	given := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(given) != 1 || given[0] != "Bearer "+accessToken {
		fmt.Println("refused: spans without the access token")
		return nil, status.Error(codes.Unauthenticated, "no access token")
	}
	for _, span := range request.Spans {
		var attributes []string
		for name, value := range span.GetAttributes().GetAttributeMap() {
			attributes = append(attributes, fmt.Sprintf("%s=%q", name, value.GetStringValue().GetValue()))
		}
		sort.Strings(attributes)
		// projects/PROJECT/traces/TRACE/spans/SPAN
		fmt.Printf("span %s: %s {%s}\n",
			span.GetDisplayName().GetValue(), span.GetName(), strings.Join(attributes, ","))
	}
	return &emptypb.Empty{}, nil
}

func selfSigned(file string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotAfter:              time.Now().Add(time.Hour),
		DNSNames:              []string{"localhost"},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
