// SPDX-License-Identifier: Apache-2.0

// Command recognize streams a WAV file to ese-server and prints each recognised unit after its time
// in seconds.
//
//	go generate    # needs protoc; makes the package speech from proto/ese/v1/speech.proto
//	go run . HOST:PORT FILE.wav [MODEL]
package main

//go:generate go build -o bin/ tool
//go:generate protoc --plugin=bin/protoc-gen-go --plugin=bin/protoc-gen-go-grpc --proto_path=../../../proto --go_out=Mese/v1/speech.proto=./speech:. --go-grpc_out=Mese/v1/speech.proto=./speech:. ese/v1/speech.proto

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"example.com/recognize/speech"
)

const (
	chunkBytes = 3200        // 100 ms at 16 kHz
	deadline   = time.Minute // for the whole call; a live stream would set none
)

// parseWAV returns the rate and the samples of a WAV file. After its first 12 bytes, the file is a
// sequence of blocks, each with a name and a size.
func parseWAV(file []byte) (rate uint32, samples []byte, err error) {
	var format []byte
	for at := 12; at+8 <= len(file); {
		size := int(binary.LittleEndian.Uint32(file[at+4:]))
		begin := at + 8
		block := file[begin:min(begin+size, len(file))]
		switch string(file[at : at+4]) {
		case "fmt ":
			format = block
		case "data":
			if !isMono16(format) {
				return 0, nil, errors.New("not mono 16-bit; convert it first")
			}
			return binary.LittleEndian.Uint32(format[4:]), block, nil
		}
		at = begin + size + size%2
	}
	return 0, nil, errors.New("not a WAV file")
}

// isMono16 reports whether the format is PCM, one channel, 16 bits a sample.
func isMono16(format []byte) bool {
	u16 := binary.LittleEndian.Uint16
	return len(format) >= 16 && u16(format) == 1 && u16(format[2:]) == 1 && u16(format[14:]) == 16
}

// send sends the config and then the audio in chunks. Send waits while flow control holds the client
// back. It drops the error of Send, which only tells that the call has ended: Recv returns the cause.
func send(
	stream speech.SpeechInference_StreamingInferClient, model string, rate uint32, samples []byte,
) {
	config := &speech.StreamingConfig{
		Model:       model,
		Input:       &speech.StreamingConfig_Audio{Audio: &speech.AudioInput{SampleRateHz: rate}},
		ReturnUnits: true,
	}
	err := stream.Send(&speech.StreamingInferRequest{
		Request: &speech.StreamingInferRequest_Config{Config: config},
	})
	for chunk := range slices.Chunk(samples, chunkBytes) {
		if err != nil {
			return
		}
		err = stream.Send(&speech.StreamingInferRequest{
			Request: &speech.StreamingInferRequest_Chunk{Chunk: chunk},
		})
	}
	stream.CloseSend()
}

func printUnits(stream speech.SpeechInference_StreamingInferClient) error {
	final := false
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return describe(err, stream)
		}
		for _, unit := range response.Units {
			fmt.Printf("%.3f %s\n", unit.StartSeconds, unit.Symbol)
		}
		final = response.IsFinal
	}
	if !final {
		return errors.New("the call ended without a final response")
	}
	return nil
}

// describe adds the wait that the server asks for, if it asks for one.
func describe(err error, stream grpc.ClientStream) error {
	text := fmt.Sprintf("%v: %s", status.Code(err), status.Convert(err).Message())
	if wait := stream.Trailer().Get("retry-after-ms"); len(wait) > 0 {
		text += fmt.Sprintf(" (try again in %s ms)", wait[0])
	}
	return errors.New(text)
}

func recognize(server, path, model string) error {
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	rate, samples, err := parseWAV(file)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}

	connection, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	stream, err := speech.NewSpeechInferenceClient(connection).StreamingInfer(ctx)
	if err != nil {
		return err
	}
	// Send and receive at the same time: the server stops reading when its answers are not read.
	go send(stream, model, rate, samples)
	return printUnits(stream)
}

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: recognize HOST:PORT FILE.wav [MODEL]")
		os.Exit(2)
	}
	model := ""
	if len(os.Args) == 4 {
		model = os.Args[3]
	}
	if err := recognize(os.Args[1], os.Args[2], model); err != nil {
		fmt.Fprintln(os.Stderr, "recognize:", err)
		os.Exit(1)
	}
}
