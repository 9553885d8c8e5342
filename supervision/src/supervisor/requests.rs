//! What a supervisor is asked to do with a child: `start_child`, `restart_child`, `terminate_child`, `delete_child`.

use super::{
    Supervisor,
    launch::{launch, stop},
};
use crate::{
    cx::Cx,
    decide,
    exit::Exit,
    pid::Local,
    policy::Restart,
    spec::{ChildSpec, StartError, Started},
    supervisor_ref::{ChildError, ChildSpecInfo, ChildState, Msg, Target},
};
use std::{any::Any, sync::Arc};

impl Supervisor {
    pub(super) async fn start_child(
        &mut self,
        spec: Option<Arc<ChildSpec>>,
        cx: &mut Cx<Msg>,
    ) -> Result<Started, ChildError> {
        let Some(spec) = spec else {
            let template = self.template()?;
            return if template.with.is_none() {
                self.add(template, cx).await
            } else {
                Err(ChildError::WrongArgs)
            };
        };
        if self.children.template.is_some() {
            return Err(ChildError::SimpleOneForOne);
        }
        decide::check(&spec, self.auto_shutdown)
            .map_err(|why| ChildError::InvalidSpec(why.into()))?;
        match self.children.find(&spec.id).map(|(_, c)| &c.state) {
            Some(ChildState::Up(pid)) => return Err(ChildError::AlreadyStarted(pid.clone())),
            Some(_) => return Err(ChildError::AlreadyPresent),
            None => {}
        }
        self.add(spec, cx).await
    }

    pub(super) async fn start_instance(
        &mut self,
        args: Box<dyn Any + Send>,
        cx: &mut Cx<Msg>,
    ) -> Result<Started, ChildError> {
        let template = self.template()?;
        // they are cloned, and dropped, which is theirs
        let spec = cx.pid().catch(|| template.with(&*{ args })).map_err(|panic| {
            let what = format!("the arguments of an instance of {}", template.id);
            StartError::Exited(Exit::Crash(cx.pid().report_beside(panic, Some(&what))))
        })?;
        self.add(Arc::new(spec.ok_or(ChildError::WrongArgs)?), cx).await
    }

    fn template(&self) -> Result<Arc<ChildSpec>, ChildError> {
        let template = self.children.template.clone();
        template.ok_or_else(|| {
            ChildError::InvalidSpec("start_instance is for a simple_one_for_one supervisor".into())
        })
    }

    async fn add(&mut self, spec: Arc<ChildSpec>, cx: &mut Cx<Msg>) -> Result<Started, ChildError> {
        let template = self.children.template.is_some();
        let at = self.place(&spec, self.children.next + 1, cx);
        let started = launch(&spec, at, cx).await?;
        match &started {
            Started::Up(pid) => {
                self.children.add(spec, ChildState::Up(pid.clone()));
            }
            Started::Ignored if template || spec.restart == Restart::Temporary => {}
            Started::Ignored => {
                self.children.add(spec, ChildState::Undefined);
            }
        }
        Ok(started)
    }

    pub(super) async fn restart_child(
        &mut self,
        target: &Target,
        cx: &mut Cx<Msg>,
    ) -> Result<Started, ChildError> {
        let Target::Id(id) = target else { return Err(ChildError::SimpleOneForOne) };
        if self.children.template.is_some() {
            return Err(ChildError::SimpleOneForOne);
        }
        let (key, child) = self.children.find(id).ok_or(ChildError::NotFound)?;
        match child.state {
            ChildState::Up(_) => return Err(ChildError::Running),
            ChildState::Restarting => return Err(ChildError::Restarting),
            ChildState::Undefined => {}
        }
        let spec = Arc::clone(&child.spec);
        let started = launch(&spec, self.place(&spec, key, cx), cx).await?;
        if let Started::Up(pid) = &started {
            self.children.set(key, ChildState::Up(pid.clone()));
        }
        Ok(started)
    }

    pub(super) async fn terminate_child(
        &mut self,
        target: &Target,
        me: &Local,
    ) -> Result<(), ChildError> {
        let found = match target {
            Target::Instance(pid) if self.children.template.is_some() && !pid.is_alive() => {
                match self.children.instance(pid) {
                    Some(key) => self.children.forget(key),
                    // whosever it was, as in OTP
                    None => self.children.ghost = false,
                }
                return Ok(());
            }
            Target::Id(_) if self.children.template.is_some() => {
                return Err(ChildError::SimpleOneForOne);
            }
            Target::Id(id) => self.children.find(id),
            // as OTP: by its pid only an instance is known
            Target::Instance(pid) if self.children.template.is_some() => {
                let key = self.children.instance(pid);
                key.and_then(|key| self.children.rows.get(&key).map(|c| (key, c)))
            }
            Target::Instance(_) => None,
        };
        let (key, child) = found.ok_or(ChildError::NotFound)?;
        if let ChildState::Up(pid) = &child.state {
            stop(me, &child.spec, std::slice::from_ref(pid)).await;
        }
        self.children.forget(key);
        Ok(())
    }

    pub(super) fn delete_child(&mut self, target: &Target) -> Result<(), ChildError> {
        let Target::Id(id) = target else { return Err(ChildError::SimpleOneForOne) };
        if self.children.template.is_some() {
            return Err(ChildError::SimpleOneForOne);
        }
        let (key, child) = self.children.find(id).ok_or(ChildError::NotFound)?;
        match child.state {
            ChildState::Up(_) => Err(ChildError::Running),
            ChildState::Restarting => Err(ChildError::Restarting),
            ChildState::Undefined => {
                self.children.remove(key);
                Ok(())
            }
        }
    }

    /// As OTP: by its pid only an instance is known, and any process that has ended passes for one.
    pub(super) fn childspec(&self, target: &Target) -> Result<ChildSpecInfo, ChildError> {
        let children = &self.children;
        let spec = match (target, &children.template) {
            (Target::Id(id), Some(template)) => Some(template).filter(|known| known.id == *id),
            (Target::Id(id), None) => children.find(id).map(|(_, child)| &child.spec),
            (Target::Instance(pid), Some(template)) => {
                (!pid.is_alive() || children.instance(pid).is_some()).then_some(template)
            }
            (Target::Instance(_), None) => None,
        };
        spec.map(|spec| ChildSpecInfo::from(&**spec)).ok_or(ChildError::NotFound)
    }

    /// What runs keeps its process (`update_childspec/2` of OTP's `supervisor`, at a change of code).
    pub(super) fn update_childspec(&mut self, spec: Arc<ChildSpec>) -> Result<(), ChildError> {
        decide::check(&spec, self.auto_shutdown)
            .map_err(|why| ChildError::InvalidSpec(why.into()))?;
        let Some(template) = &mut self.children.template else {
            let (key, _) = self.children.find(&spec.id).ok_or(ChildError::NotFound)?;
            if let Some(child) = self.children.rows.get_mut(&key) {
                child.spec = spec;
            }
            return Ok(());
        };
        if template.id != spec.id {
            return Err(ChildError::NotFound);
        }
        *template = Arc::clone(&spec);
        // instances share one; those with arguments have their own, with them in it
        let with_args = |old: &ChildSpec| spec.with.is_some().then(|| Arc::clone(&old.start));
        for child in self.children.rows.values_mut() {
            child.spec = match with_args(&child.spec) {
                Some(start) => Arc::new(ChildSpec { start, with: None, ..(*spec).clone() }),
                None => Arc::clone(&spec),
            };
        }
        Ok(())
    }
}
