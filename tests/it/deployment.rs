//! What deploys the service: the values that build triggers, secrets and dashboards rely on, and the
//! scripts, driven with a `gcloud` that only writes down what it was asked.

mod canary;
mod files;
mod gcloud;
mod secret;
