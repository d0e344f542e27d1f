//! The real cloud: Alibaba's ECS and VPC OpenAPI, and instance metadata, behind the ports of
//! `terway-core`.

pub mod sign;
