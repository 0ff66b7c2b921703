# SPDX-License-Identifier: Apache-2.0
# Two stages: the build has compilers and headers, the image only programs, libraries and a model.
# The image serves on CPU cores. On amd64, --build-arg PARTS=cards adds channels on FPGA cards.
ARG PARTS=""
FROM debian:12-slim AS build
ARG PARTS
WORKDIR /src
COPY . .
RUN ./run build release $PARTS \
    && DESTDIR=/image cmake --install build/release --prefix /usr/local --component programs --strip

FROM debian:12-slim
ARG PARTS
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends \
       libgrpc++1.51 libprotobuf32 libabsl20220623 libspdlog1.10 libprometheus-cpp-core1.0 libmicrohttpd12 \
       libkissfft-float131 libsndfile1 libsamplerate0 libssl3 \
       $(case " $PARTS " in *" cards "*) echo libxrt1 ;; esac) \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --uid 10001 ese
COPY --from=build /image/usr/local /usr/local
COPY pretrained/en-phones.ese /usr/local/share/ese/models/
USER ese
EXPOSE 7700 9700
ENTRYPOINT ["ese-server"]
CMD ["--listen", "0.0.0.0:7700", "--metrics", "0.0.0.0:9700", "--model", "/usr/local/share/ese/models/en-phones.ese"]
